//! Why a version is not served: where on its way it stopped, and what to do. The version before it goes on serving.

use std::io;

use thiserror::Error;

use super::signature::SignatureError;
use super::store::StoreError;
use crate::modules::AssembleError;
use crate::registry::Unfit;
use crate::sandbox::LoadError;
use crate::text::quoted;

/// How far a deployment came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Taking the component in.
    Receive,
    /// Looking at what it is, and who vouches for it.
    Verify,
    /// Compiling it.
    Compile,
    /// Starting it and asking what it is.
    Start,
    /// Asking its resolvers about their examples.
    SelfTest,
    /// Putting it together with the other modules, and comparing with what is live.
    Check,
    /// Keeping it.
    Store,
}

impl Stage {
    /// As it is written in answers and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Verify => "verify",
            Self::Compile => "compile",
            Self::Start => "start",
            Self::SelfTest => "self-test",
            Self::Check => "check",
            Self::Store => "store",
        }
    }
}

/// Why a version is not served.
#[derive(Debug, Error)]
pub enum DeployError {
    /// A name that no module can have.
    #[error(
        "{0:?} cannot be the name of a module: use letters, digits, `-`, `_` and `.`, at most 64, and begin with a letter or digit"
    )]
    Name(String),
    /// The component could not be taken in.
    #[error("failed to read the component: {0}")]
    Read(#[from] io::Error),
    /// The component is larger than anyone needs.
    #[error("the component has more than {most} bytes")]
    TooLarge {
        /// The limit.
        most: u64,
    },
    /// Nobody whom the operator trusts vouches for it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It wants something that the operator did not grant.
    #[error("it asks for `{capability}`, which is not granted: {grant}")]
    Capability {
        /// What it wants.
        capability: String,
        /// What to do.
        grant: String,
    },
    /// It listens where it may not.
    #[error(
        "{place}: Subscription.{field} listens to `{channel}`, which `channels` of [[module]] {module} does not grant"
    )]
    Channel {
        /// Its module.
        module: String,
        /// The field.
        field: String,
        /// Its channel.
        channel: String,
        /// `file:line function`.
        place: String,
    },
    /// It is no module, or it does not compile or start.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// A resolver fails for the example that its own decorator gives.
    #[error("{place}: Subscription.{field} fails for its own example event: {problem}")]
    SelfTest {
        /// The field.
        field: String,
        /// `file:line function`.
        place: String,
        /// What happened.
        problem: String,
    },
    /// It does not fit its schema, or the other modules.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// Live subscriptions do not fit it.
    #[error("live subscriptions do not fit it: {}; deploy with --force to end exactly these", list(.0))]
    Unfit(Vec<Unfit>),
    /// It shows more than the version before.
    #[error("it widens access: {}; deploy with --allow-widening if that is meant", .0.join("; "))]
    Widening(Vec<String>),
    /// There is no such module.
    #[error("there is no module `{0}`")]
    Unknown(String),
    /// There is nothing to go back to.
    #[error("module `{0}` has no version before the live one")]
    NoPrevious(String),
    /// The version is not kept any more.
    #[error("module `{name}` has no version {digest:.12}; see `subcast modules`")]
    NoVersion {
        /// The module.
        name: String,
        /// The digest that was asked for.
        digest: String,
    },
    /// Where versions are kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever asked for it has gone.
    #[error("the deployment was given up, because its client has gone")]
    GivenUp,
    /// More modules than anyone needs, removed ones included.
    #[error(
        "the host knows {most} modules, removed ones included, and takes no further name: deploy under one of them, or stop the host and take records of removed modules (NAME.json) out of its store"
    )]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}

impl DeployError {
    /// How far it came.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::Name(_)
            | Self::Read(_)
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::GivenUp
            | Self::Stopping => Stage::Receive,
            Self::Load(LoadError::Compile(_) | LoadError::Cache(_) | LoadError::Again { compiling: true, .. }) => {
                Stage::Compile
            }
            Self::Load(
                LoadError::Start(_)
                | LoadError::NotNow(_)
                | LoadError::Again { compiling: false, .. }
                | LoadError::Full
                | LoadError::Stopping
                | LoadError::Link(_),
            ) => Stage::Start,
            Self::Load(_) | Self::Signature(_) | Self::Capability { .. } | Self::Channel { .. } => Stage::Verify,
            Self::SelfTest { .. } => Stage::SelfTest,
            Self::Assemble(_) | Self::Unfit(_) | Self::Widening(_) => Stage::Check,
            Self::Unknown(_) | Self::NoPrevious(_) | Self::NoVersion { .. } | Self::Store(_) => Stage::Store,
        }
    }
}

/// Fields whose subscriptions do not fit that a message names.
const NAMED: usize = 20;
/// Bytes of a reason that it quotes.
const REASON: usize = 500;

fn list(unfit: &[Unfit]) -> String {
    let one = |Unfit { field, subscriptions, reason }: &Unfit| {
        let plural = if *subscriptions == 1 { "" } else { "s" };
        format!("{subscriptions} subscription{plural} of {field} ({})", quoted(reason, REASON))
    };
    let mut told: Vec<_> = unfit.iter().take(NAMED).map(one).collect();
    if unfit.len() > NAMED {
        told.push(format!("those of {} more fields", unfit.len() - NAMED));
    }
    told.join("; ")
}
