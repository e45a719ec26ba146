//! Builds with a stand-in for the tool: everything around it is real. The tool itself is used by `tests/it`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::sources::{Entry, Sources};
use super::{BuildError, BuildRequest, Progress, build, sources_digest};

/// Succeeds with a component of four bytes.
const GOOD: &str = "componentize() { printf wasm > \"$output\"; }";

struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new(behaviour: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = Self { folder };
        bench.write("tool/behaviour", behaviour);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/componentize/tests/tool.sh");
        symlink(script, bench.path("tool/componentize-py")).unwrap();
        bench.write("module/resolvers.py", "x = 1\n");
        bench.write("module/schema.graphql", "type Subscription { a: Int }\n");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn request(&self) -> BuildRequest {
        BuildRequest {
            source: self.path("module"),
            output: self.path("out.wasm"),
            tool: Some(self.path("tool/componentize-py")),
            ..BuildRequest::default()
        }
    }

    async fn refused(&self, request: &BuildRequest) -> String {
        let error = build(request, |_| {}).await.unwrap_err();
        let left: Vec<_> = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "something is left behind: {left:?}");
        error.to_string()
    }

    fn sources(&self) -> Vec<String> {
        let sources = Sources::read(&Entry::locate(&self.path("module")).unwrap()).unwrap();
        sources.files.into_iter().map(|(path, _)| path).collect()
    }

    fn digest(&self) -> String {
        sources_digest(&self.path("module")).unwrap()
    }
}

#[tokio::test]
async fn a_build_puts_the_component_in_place() {
    let bench = Bench::new(GOOD);
    bench.write("out.wasm", "old");
    let mut stages = Vec::new();
    let built = build(&bench.request(), |stage| stages.push(stage)).await.unwrap();
    assert_eq!(fs::read(bench.path("out.wasm")).unwrap(), b"wasm");
    assert_eq!((built.size, built.sources, built.tool_version.as_str()), (4, 2, "0.25.9"));
    assert_eq!(stages, [Progress::Preparing, Progress::Compiling, Progress::Writing]);
    let mode = fs::metadata(bench.path("out.wasm")).unwrap().permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
}

#[tokio::test]
async fn the_tool_finds_the_sources_the_sdk_and_the_contract() {
    let bench = Bench::new(
        "componentize() { cd \"$app\" && cat _subcast_app.py > \"$output\" && ls sources subcast_guest/__init__.py \
         ../wit/resolver.wit \"$VIRTUAL_ENV/lib/python/site-packages\" \"$TMPDIR\" >> \"$output\"; }",
    );
    build(&bench.request(), |_| {}).await.unwrap();
    let text = fs::read_to_string(bench.path("out.wasm")).unwrap();
    assert!(text.contains("load(__file__, \"resolvers.py\")"), "{text}");
    for name in ["resolvers.py\n", "schema.graphql", "subcast_guest/__init__.py", "../wit/resolver.wit"] {
        assert!(text.contains(name), "{name} is missing: {text}");
    }
}

#[tokio::test]
async fn a_failed_build_leaves_the_old_component() {
    let bench = Bench::new("componentize() { echo 'something went wrong' >&2; exit 1; }");
    bench.write("out.wasm", "old");
    let error = build(&bench.request(), |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "componentize-py failed: something went wrong");
    assert_eq!(fs::read(bench.path("out.wasm")).unwrap(), b"old");
}

#[tokio::test]
async fn what_the_sdk_reports_is_told() {
    let report = |kind: &str, printed: &str| {
        let report =
            serde_json::json!({"kind": kind, "message": "ValueError: bad", "traceback": "line 1", "printed": printed});
        format!("componentize() {{ echo '{report}' > \"$app/report.json\"; echo '  1: exit status 3' >&2; exit 1; }}")
    };
    let bench = Bench::new(&report("definition", ""));
    assert_eq!(bench.refused(&bench.request()).await, "ValueError: bad");
    bench.write("tool/behaviour", &report("exception", ""));
    assert_eq!(bench.refused(&bench.request()).await, "resolvers.py cannot be imported: ValueError: bad\n\nline 1");
    bench.write("tool/behaviour", &report("exception", "here"));
    assert!(bench.refused(&bench.request()).await.ends_with("line 1\n\nit had printed:\nhere"));
    bench.write("tool/behaviour", &report("unfinished", ""));
    let text = bench.refused(&bench.request()).await;
    assert!(text.starts_with("resolvers.py ends the interpreter while it is imported"), "{text}");
    assert!(text.ends_with(": exit status 3"), "{text}");
}

#[tokio::test]
async fn a_tool_that_succeeds_without_a_component_has_failed() {
    let bench = Bench::new("");
    let text = bench.refused(&bench.request()).await;
    assert_eq!(text, "componentize-py failed: it said nothing about the reason");
}

#[tokio::test]
async fn a_tool_that_hangs_is_given_up() {
    let bench = Bench::new("componentize() { exec sleep 600; }");
    let request = BuildRequest { timeout: Duration::from_millis(50), ..bench.request() };
    let text = bench.refused(&request).await;
    assert!(text.starts_with("componentize-py did not finish within 0 s"), "{text}");
}

#[tokio::test]
async fn the_wrong_tool_is_refused() {
    let bench = Bench::new("version='componentize-py 0.24.0'");
    let text = bench.refused(&bench.request()).await;
    assert!(text.ends_with("is version 0.24.0, but 0.25 is needed: pip install 'componentize-py==0.25.*'"), "{text}");
    bench.write("tool/behaviour", "version='Python 3.11'");
    assert!(bench.refused(&bench.request()).await.contains("does not tell its version"));
    bench.write("tool/behaviour", "exit 7");
    assert!(bench.refused(&bench.request()).await.contains("does not run as componentize-py (exit status: 7)"));
    let request = BuildRequest { tool: Some(bench.path("nowhere")), ..bench.request() };
    assert!(bench.refused(&request).await.contains("nowhere does not exist: name a componentize-py, or pip install"));
}

#[tokio::test]
async fn sources_that_are_none_are_refused() {
    let bench = Bench::new(GOOD);
    let refused = async |name: &str| {
        let request = BuildRequest { source: bench.path(name), ..bench.request() };
        bench.refused(&request).await
    };
    assert!(refused("missing.py").await.contains("does not exist: name a Python file"));
    assert!(refused("tool").await.contains("has no resolvers.py"));
    assert!(refused("module/schema.graphql").await.contains("is not a Python file"));
    fs::create_dir(bench.path("module/package.py")).unwrap();
    assert!(refused("module/package.py").await.contains("has no resolvers.py"));
}

#[tokio::test]
async fn an_output_that_cannot_be_written_is_refused_before_the_build() {
    let bench = Bench::new("componentize() { echo 'too late' >&2; exit 1; }");
    let request = BuildRequest { output: bench.path("missing/out.wasm"), ..bench.request() };
    assert!(bench.refused(&request).await.contains("missing/out.wasm cannot be written: No such file"));
    let request = BuildRequest { output: bench.path("module"), ..bench.request() };
    assert!(bench.refused(&request).await.contains("module cannot be written: it is a folder"));
}

#[test]
fn what_belongs_to_a_module_is_taken_and_nothing_else() {
    let bench = Bench::new(GOOD);
    for name in ["a/__init__.py", "a/b.pyi", "data.json", "settings.toml", "a/.hidden.py", ".git/x.py", "notes.md"] {
        bench.write(&format!("module/{name}"), "");
    }
    for name in [
        "__pycache__/c.py",
        "node_modules/d.json",
        "venv/pyvenv.cfg",
        "venv/e.py",
        "target/CACHEDIR.TAG",
        "target/f.json",
    ] {
        bench.write(&format!("module/{name}"), "");
    }
    bench.write("elsewhere/linked.py", "");
    symlink(bench.path("elsewhere/linked.py"), bench.path("module/linked.py")).unwrap();
    symlink(bench.path("module"), bench.path("module/circle")).unwrap();
    symlink(bench.path("nowhere.py"), bench.path("module/dangling.py")).unwrap();
    let expected =
        ["a/__init__.py", "a/b.pyi", "data.json", "linked.py", "resolvers.py", "schema.graphql", "settings.toml"];
    assert_eq!(bench.sources(), expected);
}

#[test]
fn a_file_is_found_with_its_neighbours_wherever_it_is_linked_to() {
    let bench = Bench::new(GOOD);
    bench.write("elsewhere/real.py", "");
    symlink(bench.path("elsewhere/real.py"), bench.path("module/users.py")).unwrap();
    let entry = Entry::locate(&bench.path("module/users.py")).unwrap();
    assert_eq!(entry, Entry { folder: bench.path("module").canonicalize().unwrap(), file: "users.py".to_owned() });
}

#[test]
fn a_hidden_file_is_taken_if_it_is_asked_for() {
    let bench = Bench::new(GOOD);
    bench.write("module/.draft.py", "");
    let sources = Sources::read(&Entry::locate(&bench.path("module/.draft.py")).unwrap()).unwrap();
    assert!(sources.files.iter().any(|(path, _)| path == ".draft.py"));
}

#[test]
fn a_folder_with_too_much_is_refused() {
    let bench = Bench::new(GOOD);
    let huge = fs::File::create(bench.path("module/huge.json")).unwrap();
    huge.set_len(65 << 20).unwrap();
    let error = sources_digest(&bench.path("module")).unwrap_err();
    assert!(matches!(error, BuildError::TooMuch { .. }), "{error}");
}

#[test]
fn the_digest_covers_contents_names_and_the_entry() {
    let bench = Bench::new(GOOD);
    let mut seen = vec![bench.digest()];
    assert!(seen[0].len() == 16 && seen[0].chars().all(|c| c.is_ascii_hexdigit()), "{}", seen[0]);
    assert_eq!(bench.digest(), seen[0]);
    let mut differs = |what: &str| {
        let digest = bench.digest();
        assert!(!seen.contains(&digest), "{what}");
        seen.push(digest);
    };
    bench.write("module/resolvers.py", "x = 2\n");
    differs("contents");
    bench.write("module/a.py", "");
    differs("a file");
    fs::rename(bench.path("module/a.py"), bench.path("module/b.py")).unwrap();
    differs("a name");
    assert!(!seen.contains(&sources_digest(&bench.path("module/b.py")).unwrap()), "the entry");
}

#[test]
fn what_does_not_belong_to_a_module_leaves_the_digest_alone() {
    let bench = Bench::new(GOOD);
    let before = bench.digest();
    bench.write("module/.cache/a.py", "");
    bench.write("module/__pycache__/resolvers.cpython-311.pyc", "");
    bench.write("module/out.wasm", "");
    assert_eq!(bench.digest(), before);
    assert_eq!(sources_digest(&bench.path("module/resolvers.py")).unwrap(), before);
}
