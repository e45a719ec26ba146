//! Texts that are given as an argument, or in a file as `@FILE`.

use std::fs;

use super::failure::Failure;

/// The text itself, or that of the file.
pub(super) fn read(argument: &str) -> Result<String, Failure> {
    match argument.strip_prefix('@') {
        None => Ok(argument.to_owned()),
        Some(file) => {
            fs::read_to_string(file).map_err(|error| Failure::failed(format!("failed to read {file}: {error}")))
        }
    }
}

/// How many of something, in words.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Bytes for people: `21.6 MB`.
pub(super) fn size(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}
