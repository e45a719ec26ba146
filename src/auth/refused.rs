//! Why a credential was refused: for the log and a counter. The client learns only that it was.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use thiserror::Error;

use crate::ids::ConnectionId;
use crate::text::foreign_error;
use crate::throttle::Throttles;

/// Detailed lines per second of each kind of refusal. Refusals cost a client one message, before anyone knows who it is.
const LINES_PER_SECOND: u32 = 10;

/// Why a credential was refused. Its text may quote what the client sent: write it as [`foreign_error`].
#[derive(Debug, Error)]
pub enum Refused {
    /// Nothing was shown.
    #[error("no credential, and anonymous access is off")]
    Missing,
    /// Something was shown that is not `Bearer TOKEN`.
    #[error("the credential is not of the form `Bearer TOKEN`")]
    Malformed,
    /// A token was shown, but the host has no key for it.
    #[error("a token was shown, but [auth] jwt is not configured")]
    NotConfigured,
    /// The token does not hold.
    #[error("the token was refused: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    /// The token has extensions that must be understood.
    #[error("the token has a `crit` header: its extensions are not supported")]
    Critical,
    /// The token would never expire.
    #[error("the token has no `exp`: it would be valid for ever; [auth] jwt.require_exp = false allows that")]
    NoExpiry,
    /// A time of the token is none.
    #[error("`{0}` of the token is not a number of seconds between 1970 and 9999")]
    NotATime(&'static str),
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet")]
    NotYet,
    /// The application does not let them in.
    #[error("the application refused: {0}")]
    Application(String),
}

impl Refused {
    /// The kind, as it is written in metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::NotConfigured => "not-configured",
            Self::Token(_) => "invalid",
            Self::Critical => "critical",
            Self::NoExpiry => "no-expiry",
            Self::NotATime(_) => "not-a-time",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::Application(_) => "application",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Counts refusals, and writes them to the log within bounds.
#[derive(Debug)]
pub struct Refusals {
    lines: Throttles,
    refused: Family<KindLabel, Counter>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { lines: Throttles::new(LINES_PER_SECOND), refused: Family::default() }
    }
}

impl Refusals {
    /// Adds the counter to the registry of the process.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        registry.register("credentials_refused", "Credentials that were refused, by kind", self.refused.clone());
    }

    /// Reports a refused credential: of a connection, or of a request where there is none.
    pub fn report(&self, refused: &Refused, connection: Option<ConnectionId>) {
        let kind = refused.kind();
        self.count(kind);
        if self.lines.may_write(kind) {
            let connection = connection.map(tracing::field::display);
            tracing::info!(connection, kind, refused = %foreign_error(refused), "credential refused");
        }
    }

    /// Reports a valid token that may not take the place of a connection's first one.
    pub fn report_other(&self, connection: ConnectionId) {
        const KIND: &str = "other-rights";
        self.count(KIND);
        if self.lines.may_write(KIND) {
            tracing::info!(%connection, kind = KIND, "refused a token of another subject or with other rights");
        }
    }

    fn count(&self, kind: &'static str) {
        self.refused.get_or_create(&KindLabel { kind }).inc();
    }
}
