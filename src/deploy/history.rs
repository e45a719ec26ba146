//! The versions of one module: which are kept, which is live, which was live before.

use serde::{Deserialize, Serialize};

/// A version that was deployed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// sha256 of its `.wasm`, hexadecimal.
    pub digest: String,
    /// Bytes of its `.wasm`.
    pub size: u64,
    /// When it was deployed, RFC 3339.
    pub deployed: String,
    /// What it loosened compared with the version before, as `--allow-widening` allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widened: Vec<String>,
    /// Its signature, base64, if it came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What is known of a module's versions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Digest of the configured file when this was written. Once the file is another one, it counts more than the record.
    pub(super) configured: Option<String>,
    /// Oldest first.
    pub(super) versions: Vec<Version>,
    /// Which of them is live; `None`: the module was removed.
    pub(super) live: Option<String>,
}

impl Record {
    /// The version before the live one; the newest one if none is live.
    pub(super) fn previous(&self) -> Option<&Version> {
        match &self.live {
            None => self.versions.last(),
            Some(live) => {
                let at = self.versions.iter().position(|version| version.digest == *live)?;
                self.versions.get(at.checked_sub(1)?)
            }
        }
    }

    /// Takes the live version out of service. It is the newest from then on: those that a rollback had left above it become
    /// the oldest.
    pub(super) fn remove(&mut self) {
        if let Some(live) = self.live.take()
            && let Some(at) = self.versions.iter().position(|version| version.digest == live)
        {
            let above = self.versions.len() - at - 1;
            self.versions.rotate_right(above);
        }
    }

    /// Puts a version on top, as the live one.
    pub(super) fn put(&mut self, version: Version, most: usize) {
        self.remove();
        self.versions.retain(|known| known.digest != version.digest);
        self.live = Some(version.digest.clone());
        self.versions.push(version);
        let surplus = self.versions.len().saturating_sub(most);
        self.versions.drain(..surplus);
    }

    /// Makes an earlier version the live one, in its place. If it was the oldest, and had to go since it was found, it is the
    /// oldest again, and one more than are kept.
    pub(super) fn point(&mut self, version: Version) {
        self.live = Some(version.digest.clone());
        match self.versions.iter_mut().find(|known| known.digest == version.digest) {
            Some(known) => *known = version,
            None => self.versions.insert(0, version),
        }
    }

    /// Why this is nothing that a host has written, if it is not.
    pub(super) fn fault(&self) -> Option<String> {
        let digests = self.versions.iter().map(|version| &version.digest).chain(&self.configured);
        if let Some(wrong) = digests.into_iter().find(|digest| !is_digest(digest)) {
            return Some(format!("{wrong:?} is not a sha256 in hexadecimal"));
        }
        let live = self.live.as_ref()?;
        let is_known = self.versions.iter().any(|version| version.digest == *live);
        (!is_known).then(|| format!("{live:?} is live, and not among the versions"))
    }
}

/// Whether this is a sha256 as it is written here.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(is_digit)
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// What to write where [`is_digest_start`] does not hold.
pub const DIGEST_START: &str = "a version is the beginning of its digest, at least 8 hexadecimal digits in lower case";

/// Whether this can be the beginning of a version's digest, long enough to mean one.
#[must_use]
pub fn is_digest_start(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(digest: &str) -> Version {
        let digest = digest.to_owned();
        Version { digest, size: 1, deployed: String::new(), widened: Vec::new(), signature: None }
    }

    fn digests(record: &Record) -> Vec<&str> {
        record.versions.iter().map(|version| version.digest.as_str()).collect()
    }

    #[test]
    fn the_version_before_the_live_one_is_what_a_rollback_brings() {
        let mut record = Record::default();
        assert_eq!(record.previous(), None);
        for digest in ["a", "b", "c"] {
            record.put(version(digest), 5);
        }
        assert_eq!(record.previous().unwrap().digest, "b");
        record.live = Some("b".to_owned());
        assert_eq!(record.previous().unwrap().digest, "a");
        // `c`, which was rolled back from, is not what a rollback of `d` brings.
        record.put(version("d"), 5);
        assert_eq!(digests(&record), ["c", "a", "b", "d"]);
        assert_eq!(record.previous().unwrap().digest, "b");
        record.remove();
        assert_eq!(record.previous().unwrap().digest, "d");
    }

    #[test]
    fn what_was_removed_is_what_a_rollback_brings_also_after_another_rollback() {
        let mut record = Record::default();
        for digest in ["a", "b", "c"] {
            record.put(version(digest), 5);
        }
        record.live = Some("b".to_owned());
        record.remove();
        assert_eq!((record.live.as_deref(), digests(&record)), (None, vec!["c", "a", "b"]));
        assert_eq!(record.previous().unwrap().digest, "b");
    }

    #[test]
    fn a_version_that_had_to_go_while_it_was_being_loaded_is_back_when_it_is_live() {
        let mut record = Record::default();
        for digest in ["a", "b", "c"] {
            record.put(version(digest), 2);
        }
        record.point(version("a"));
        assert_eq!((digests(&record), record.live.as_deref()), (vec!["a", "b", "c"], Some("a")));
        record.point(Version { widened: vec!["w".to_owned()], ..version("b") });
        assert_eq!((digests(&record), record.versions[1].widened.len()), (vec!["a", "b", "c"], 1));
        record.put(version("d"), 2);
        assert_eq!(digests(&record), ["b", "d"], "the bound holds again, and a rollback brings what was live");
    }

    #[test]
    fn no_more_versions_than_the_bound_are_kept_and_none_twice() {
        let mut record = Record::default();
        for digest in ["a", "b", "c", "b", "d"] {
            record.put(version(digest), 3);
        }
        assert_eq!(digests(&record), ["c", "b", "d"]);
    }

    #[test]
    fn what_no_host_has_written_is_told_from_a_record() {
        let digest = "0123456789abcdef".repeat(4);
        let mut record = Record::default();
        record.put(version(&digest), 5);
        record.configured = Some(digest.clone());
        assert_eq!(record.fault(), None);
        let short = Record { configured: Some("\u{e9}".repeat(32)), ..record.clone() };
        assert!(short.fault().unwrap().contains("not a sha256"));
        let unknown = Record { live: Some("f".repeat(64)), ..record.clone() };
        assert!(unknown.fault().unwrap().contains("not among the versions"));
        record.versions[0].digest = "../../etc/passwd".to_owned();
        assert!(record.fault().is_some());
    }
}
