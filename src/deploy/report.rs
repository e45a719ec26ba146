//! What a deployment did, and what is live.

use serde::Serialize;

use super::history::Version;
use super::record::Records;
use crate::modules::Generation;
use crate::registry::Unfit;
use crate::text::{foreign_error, quoted};

/// What a deployment did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The module.
    pub name: String,
    /// What is live now; `None` after a removal.
    pub digest: Option<String>,
    /// What was live before.
    pub previous: Option<String>,
    /// Whether that was the same version: then nothing was done.
    pub unchanged: bool,
    /// Number of the generation that is live now.
    pub generation: u64,
    /// Live subscriptions that went on, of all modules.
    pub moved: usize,
    /// Subscriptions that were ended, by field.
    pub ended: Vec<Ended>,
    /// What it loosened.
    pub widened: Vec<String>,
    /// Whether it will be live again after a restart.
    pub stored: bool,
    /// Milliseconds until it was live, and until the old version was gone.
    pub ms: Times,
}

/// Subscriptions of a field that a deployment ended.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// The field.
    pub field: String,
    /// How many.
    pub subscriptions: usize,
    /// Why one of them.
    pub reason: String,
}

/// Milliseconds since the new version was next to be loaded, or a rollback or removal was asked for.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Times {
    /// Until the version was live.
    pub live: u64,
    /// Until the one before was gone.
    pub drained: u64,
}

/// A module as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// What is live; `None` if it was removed.
    pub digest: Option<String>,
    /// Bytes of its `.wasm`.
    pub size: u64,
    /// Its fields.
    pub fields: Vec<String>,
    /// Versions that can be live again, oldest first.
    pub versions: Vec<Version>,
}

pub(super) fn status(name: &str, generation: &Generation, records: &Records) -> Status {
    let module = generation.modules().iter().find(|module| module.name() == name);
    Status {
        name: name.to_owned(),
        digest: module.map(|module| module.digest().to_owned()),
        size: module.map_or(0, |module| module.size()),
        fields: module
            .map_or_else(Vec::new, |module| module.manifest().fields.iter().map(|field| field.name.clone()).collect()),
        versions: records.versions(name),
    }
}

impl From<&Unfit> for Ended {
    fn from(unfit: &Unfit) -> Self {
        let Unfit { field, subscriptions, reason } = unfit;
        Self { field: field.to_string(), subscriptions: *subscriptions, reason: reason.clone() }
    }
}

/// Lines of what a version loosens that are told and recorded; a version with 1,000 fields could fill megabytes.
const TOLD: usize = 50;
/// Bytes of one of them.
const TOLD_BYTES: usize = 1_000;

/// The rules that a version loosens, cut for readers: the first lines, and how many more there are.
pub(super) fn bounded(loosened: &[String]) -> Vec<String> {
    let more = loosened.len().saturating_sub(TOLD);
    let mut told: Vec<String> = loosened.iter().take(TOLD).map(|line| quoted(line, TOLD_BYTES)).collect();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told
}

/// Says so in the log.
pub(super) fn log(report: &Report) {
    let ended: usize = report.ended.iter().map(|ended| ended.subscriptions).sum();
    tracing::info!(
        module = %report.name,
        digest = report.digest.as_deref().map(short),
        previous = report.previous.as_deref().map(short),
        generation = report.generation,
        moved = report.moved,
        ended,
        widened = %foreign_error(report.widened.join("; ")),
        ms = report.ms.drained,
        "a new version is live"
    );
}

/// The beginning of a digest, as people compare it.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_loosens_is_told_within_bounds() {
        assert_eq!(bounded(&["a".to_owned()]), ["a"]);
        let told = bounded(&vec!["x".repeat(1 << 20); 1_000]);
        assert_eq!((told.len(), told[TOLD].as_str()), (TOLD + 1, "and 950 more"));
        assert!(told.iter().map(String::len).sum::<usize>() < 60_000);
    }
}
