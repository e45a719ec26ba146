//! Files that are deployed as soon as a new one is in their place.
//!
//! Looked at twice a second: that works on every file system, across renames and removals, and takes nothing. A file that
//! still changes between two looks is not complete.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Deployer, signature};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// What tells one state of a file from another: device, inode, size, time of the last change. `None` if it is not there.
type Look = Option<(u64, u64, u64, i64, i64)>;

struct Watched {
    name: String,
    path: PathBuf,
    /// It and its signature, as they were when it was deployed or refused.
    known: [Look; 2],
    /// As they were at the last look.
    last: [Look; 2],
}

impl Deployer {
    /// Watches the files of these modules, until it is dropped.
    pub async fn watch(self: Arc<Self>, names: &[String]) {
        let path = |name: &String| self.config.module(name).and_then(|module| module.path.clone());
        let watched = names.iter().filter_map(|name| Some((name.clone(), path(name)?)));
        let mut watched: Vec<_> = watched
            .map(|(name, path)| Watched { name, path, known: <[Look; 2]>::default(), last: <[Look; 2]>::default() })
            .collect();
        loop {
            for file in &mut watched {
                let now = [look(&file.path).await, look(&signature::file(&file.path)).await];
                let complete = now[0].is_some() && now == file.last && now != file.known;
                file.last = now;
                if complete {
                    file.known = now;
                    self.try_reload(&file.name).await;
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

async fn look(path: &Path) -> Look {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}
