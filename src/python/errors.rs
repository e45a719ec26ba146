//! Our errors as Python's, with their causes.

use std::error::Error;

use pyo3::exceptions::{PyException, PyRuntimeWarning};
use pyo3::prelude::*;
use pyo3::{create_exception, exceptions::PyValueError};

use crate::componentize::BuildError as Build;
use crate::deploy::DeployError;
use crate::protocol::publish::PublishError as Publish;
use crate::runtime::StartError;
use crate::runtime::config::ConfigError as Config;
use crate::server::BindError;

create_exception!(subcast, SubcastError, PyException, "What all errors of this package have in common.");
create_exception!(
    subcast,
    ConfigError,
    SubcastError,
    "A setting does not hold. The message names it, and where it was set."
);
create_exception!(subcast, BuildError, SubcastError, "Python resolvers could not be compiled to a component.");
create_exception!(
    subcast,
    ModuleLoadError,
    SubcastError,
    "A module was refused: damaged, of another kind, or unfit for what is live."
);
create_exception!(subcast, PublishError, SubcastError, "An event was refused; nothing of the same call was published.");
create_exception!(subcast, BusUnavailable, SubcastError, "Events cannot be published now: the manager is not running.");
create_exception!(subcast, ServeError, SubcastError, "The server cannot listen.");
create_exception!(
    subcast,
    InternalError,
    SubcastError,
    "A bug of Subcast: what it was about to do has failed, and nothing else."
);
create_exception!(subcast, SubcastWarning, PyRuntimeWarning, "Something works, and probably not as you want it.");

pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("SubcastError", py.get_type::<SubcastError>())?;
    module.add("ConfigError", py.get_type::<ConfigError>())?;
    module.add("BuildError", py.get_type::<BuildError>())?;
    module.add("ModuleLoadError", py.get_type::<ModuleLoadError>())?;
    module.add("PublishError", py.get_type::<PublishError>())?;
    module.add("BusUnavailable", py.get_type::<BusUnavailable>())?;
    module.add("ServeError", py.get_type::<ServeError>())?;
    module.add("InternalError", py.get_type::<InternalError>())?;
    module.add("SubcastWarning", py.get_type::<SubcastWarning>())
}

/// Why something did not work.
#[derive(Debug)]
pub(super) enum Failure {
    Config(Config),
    Build(Build),
    Start(Box<StartError>),
    Deploy(Box<DeployError>),
    Publish(Publish),
    Bind(BindError),
    /// The system, for example out of threads.
    System(std::io::Error),
    /// Python cannot be built: there is no place for what comes out.
    NoCache,
    /// The engine is stopping.
    Stopping,
    /// Nobody waits for it any more.
    Cancelled,
    /// A bug of ours; see [`super::guard`].
    Panic(String),
}

impl Failure {
    pub(super) fn into_py(self, py: Python<'_>) -> PyErr {
        match &self {
            Self::Config(error) => with_causes(py, error, ConfigError::new_err::<String>),
            Self::Build(error) => with_causes(py, error, BuildError::new_err::<String>),
            Self::Start(error) => with_causes(py, &**error, ModuleLoadError::new_err::<String>),
            Self::Deploy(error) => with_causes(py, &**error, ModuleLoadError::new_err::<String>),
            Self::Publish(error) => with_causes(py, error, PublishError::new_err::<String>),
            // What the binary advises, its options, does not exist here.
            Self::Bind(BindError::InUse { address }) => ServeError::new_err(format!(
                "{address} is in use by another program: end that one, or give serve() another port (port 0 takes a free one)"
            )),
            Self::Bind(BindError::Denied { address }) => ServeError::new_err(format!(
                "this user may not listen on {address}: give serve() a port from 1024 (port 0 takes a free one)"
            )),
            Self::Bind(error) => with_causes(py, error, ServeError::new_err::<String>),
            Self::System(error) => with_causes(py, error, SubcastError::new_err::<String>),
            Self::NoCache => ConfigError::new_err(
                "there is no folder for built modules: set sandbox.cache_dir, or $XDG_CACHE_HOME or $HOME",
            ),
            Self::Stopping => BusUnavailable::new_err("the manager is stopping"),
            Self::Cancelled => PyValueError::new_err("cancelled"),
            Self::Panic(message) => InternalError::new_err(message.clone()),
        }
    }
}

/// The error, raised from what it says is its source, and so on. A text that the source only repeats is left out.
fn with_causes(py: Python<'_>, error: &dyn Error, new: fn(String) -> PyErr) -> PyErr {
    let text = error.to_string();
    let raised = new(text.clone());
    if let Some(source) = error.source().filter(|source| source.to_string() != text) {
        raised.set_cause(py, Some(with_causes(py, source, SubcastError::new_err::<String>)));
    }
    raised
}

macro_rules! from {
    ($($error:ty => $variant:ident),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$variant(error.into())
            }
        })+
    };
}
from!(Config => Config, Build => Build, StartError => Start, DeployError => Deploy, Publish => Publish, BindError => Bind, std::io::Error => System);
