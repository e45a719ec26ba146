//! Open files: every connection is one, and systems allow few until they are asked for more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sockets of publishers and scrapers, files, and what the runtime needs.
const OTHERS: u64 = 512;

/// Raises the limit as far as it goes, and says so if that is not enough for so many connections.
pub(super) fn raise(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let now = if raised.is_ok() { limit.maximum } else { limit.current };
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    if let Some(now) = now.filter(|now| *now < wanted) {
        tracing::debug!(
            open_files = now,
            connections,
            "the system allows fewer open files than [limits] connections needs: raise the limit (ulimit -n), or lower connections"
        );
    }
}
