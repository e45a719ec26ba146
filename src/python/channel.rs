//! Names of channels, for publishers: made by the very code that makes those of subscribers.

use std::collections::BTreeSet;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Map, Value};

use super::convert::to_json;
use super::guard::guard;
use crate::policy::ChannelTemplate;

/// The channel that a template names with these arguments. `TypeError` if they are not those of the template,
/// `ValueError` if the template or one of them is unfit.
#[pyfunction]
pub(super) fn channel(template: &str, arguments: &Bound<'_, PyDict>) -> PyResult<String> {
    guard(|| {
        let unfit = |error: &dyn std::error::Error| PyValueError::new_err(error.to_string());
        let parsed = ChannelTemplate::parse(template).map_err(|error| unfit(&error))?;
        let given = to_json(arguments.as_any(), "arguments")?;
        let given: Map<String, Value> = serde_json::from_str(&given).map_err(|error| unfit(&error))?;
        let wanted: BTreeSet<&str> = parsed.arguments().collect();
        if let Some(missing) = wanted.iter().find(|name| !given.contains_key(**name)) {
            return Err(PyTypeError::new_err(format!("`{template}` needs the argument `{missing}`")));
        }
        if let Some(unknown) = given.keys().find(|name| !wanted.contains(name.as_str())) {
            return Err(PyTypeError::new_err(format!("`{template}` has no argument `{unknown}`")));
        }
        Ok(parsed.expand(&given).map_err(|error| unfit(&error))?.as_str().to_owned())
    })?
}
