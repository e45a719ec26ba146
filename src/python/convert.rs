//! From Python's values to JSON text, without a detour.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

/// Deeper values are refused; events allow 64 levels.
const DEEPEST: usize = 100;

/// A value of `dict`, `list`, `tuple`, `str`, `int`, `float`, `bool` and `None`, as JSON text. Anything else is a
/// `TypeError` that says where it is; `root` is what the value is called there.
pub(super) fn to_json(value: &Bound<'_, PyAny>, root: &str) -> PyResult<String> {
    let mut text = String::with_capacity(256);
    write(value, &mut text, 0).map_err(|refused| refused.told(root))?;
    Ok(text)
}

/// What cannot be JSON, and the steps to it, innermost first.
struct Refused {
    problem: Problem,
    steps: Vec<String>,
}

enum Problem {
    Type(String),
    Value(String),
    Python(PyErr),
}

impl Refused {
    fn told(self, root: &str) -> PyErr {
        let path: String = std::iter::once(root.to_owned()).chain(self.steps.into_iter().rev()).collect();
        match self.problem {
            Problem::Type(problem) => PyTypeError::new_err(format!("{path} {problem}")),
            Problem::Value(problem) => PyValueError::new_err(format!("{path} {problem}")),
            Problem::Python(error) => error,
        }
    }

    fn below(mut self, step: String) -> Self {
        self.steps.push(step);
        self
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, steps: Vec::new() }
    }
}

impl From<PyErr> for Refused {
    fn from(error: PyErr) -> Self {
        Problem::Python(error).into()
    }
}

fn write(value: &Bound<'_, PyAny>, out: &mut String, depth: usize) -> Result<(), Refused> {
    if depth > DEEPEST {
        return Err(Problem::Value(format!("is nested more than {DEEPEST} levels deep")).into());
    }
    if let Ok(text) = value.cast::<PyString>() {
        quote(text.to_str().map_err(|_| not_unicode())?, out);
    } else if value.is_none() {
        out.push_str("null");
    } else if let Ok(truth) = value.cast::<PyBool>() {
        out.push_str(if truth.is_true() { "true" } else { "false" });
    } else if let Ok(number) = value.cast::<PyInt>() {
        integer(number, out)?;
    } else if let Ok(number) = value.cast::<PyFloat>() {
        let Some(number) = serde_json::Number::from_f64(number.value()) else {
            return Err(Problem::Value(format!("is {}, which JSON does not have", number.value())).into());
        };
        out.push_str(&number.to_string());
    } else if let Ok(members) = value.cast::<PyDict>() {
        // Without the interpreter's lock another thread may be changing it.
        with_critical_section(members, || object(members, out, depth))?;
    } else if let Ok(items) = value.cast::<PyList>() {
        list(items.iter(), out, depth)?;
    } else if let Ok(items) = value.cast::<PyTuple>() {
        list(items.iter(), out, depth)?;
    } else {
        let kind = value.get_type().fully_qualified_name()?;
        return Err(Problem::Type(format!(
            "is a {kind}, which JSON does not have: convert it, for example with str()"
        ))
        .into());
    }
    Ok(())
}

fn object(members: &Bound<'_, PyDict>, out: &mut String, depth: usize) -> Result<(), Refused> {
    out.push('{');
    let mut rest = false;
    for (key, value) in members.iter() {
        if std::mem::replace(&mut rest, true) {
            out.push(',');
        }
        let Ok(key) = key.cast::<PyString>() else {
            let kind = key.get_type().fully_qualified_name()?;
            return Err(Problem::Type(format!("has a key that is a {kind}: keys of JSON objects are text")).into());
        };
        let key = key.to_str().map_err(|_| not_unicode())?;
        quote(key, out);
        out.push(':');
        write(&value, out, depth + 1).map_err(|refused| refused.below(format!("[{key:?}]")))?;
    }
    out.push('}');
    Ok(())
}

fn list<'py>(items: impl Iterator<Item = Bound<'py, PyAny>>, out: &mut String, depth: usize) -> Result<(), Refused> {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(&item, out, depth + 1).map_err(|refused| refused.below(format!("[{index}]")))?;
    }
    out.push(']');
    Ok(())
}

fn integer(number: &Bound<'_, PyInt>, out: &mut String) -> Result<(), Refused> {
    if let Ok(small) = number.extract::<i64>() {
        out.push_str(&small.to_string());
        return Ok(());
    }
    // Of a subclass, `str` might be anything.
    let digits = number.py().get_type::<PyInt>().call_method1("__repr__", (number,))?;
    out.push_str(digits.cast::<PyString>().map_err(PyErr::from)?.to_str()?);
    Ok(())
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("a string is always JSON"));
}

fn not_unicode() -> Problem {
    Problem::Value("holds half of a surrogate pair, which is not Unicode".to_owned())
}
