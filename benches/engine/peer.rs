//! The peer: the same function in native `CPython`, in a process that waits for its turn.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Native {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Native {
    pub(crate) fn start() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python =
            std::env::var_os("SUBCAST_TEST_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
        let mut process = Command::new(python)
            .arg(root.join("benches/native.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, questions, answers }
    }

    /// One slice of calls: p50 and p99 in µs.
    pub(crate) fn slice(&mut self, calls: usize) -> (f64, f64) {
        writeln!(self.questions.as_mut().expect("it is piped"), "{calls}").expect("it reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let mut numbers = line.split_whitespace().map(|word| word.parse().expect("a number"));
        let mut next = || numbers.next().expect("two numbers");
        (next(), next())
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        self.questions = None;
        let _ = self.process.wait();
    }
}
