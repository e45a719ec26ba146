//! `subcast token`: the credential of a host on this machine, and what other commands show a host.

use std::path::Path;

use clap::Args;

use super::failure::Failure;
use super::subscribe::{HOST, bare};
use super::{CONFIG_FILE, environment, output, wait_for};
use crate::runtime::config::Config;
use crate::server::credential::Folders;
use crate::server::remote::{Address, Credential, local_credential};

/// Print the publish and admin credential that a host of this user on this machine has drawn, for other programs, which send
/// it as `Authorization: Bearer TOKEN`
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(value_name = "URL", value_parser = Address::parse, help = HOST)]
    url: Address,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let token = wait_for(async { local_credential(&arguments.url, &folders()).await.map_err(Failure::failed) })?;
    output::line(token)
}

/// The token that was given, or else whatever the host itself has left on this machine.
pub(super) fn credential(token: Option<&str>) -> Credential {
    match token.map(bare).filter(|token| !token.is_empty()) {
        Some(token) => Credential::Token(token.to_owned()),
        None => Credential::Local(folders()),
    }
}

/// Where hosts of this user leave credentials. A configuration that does not hold is the host's matter and not a command's.
fn folders() -> Folders {
    let file = Path::new(CONFIG_FILE);
    let configured = Config::runtime_dir(file.is_file().then_some(file), environment());
    Folders::new(configured.unwrap_or_default().as_deref())
}
