//! The decision about who somebody is, where it is not made here.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Refused;
use crate::principal::Principal;

/// What a client shows. Holds credentials: not for the log.
#[derive(Default)]
pub struct Shown {
    /// The payload of `connection_init`, if it had one.
    pub payload: Option<Map<String, Value>>,
    /// Headers of its request, as far as the authenticator reads them; names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Shown {
    /// The first header with this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Debug for Shown {
    /// Says nothing of what was shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}

/// A decision on its way. It ends by itself within a bounded time.
pub type Decision = Pin<Box<dyn Future<Output = Result<Arc<Principal>, Refused>> + Send>>;

/// Asks the application that embeds the host.
pub type Ask = Arc<dyn Fn(Shown) -> Decision + Send + Sync>;
