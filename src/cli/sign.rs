//! `subcast sign`: vouch for a component.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Args;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};

use super::failure::Failure;
use super::output;
use crate::deploy;
use crate::digest::sha256;

/// Sign a component, for hosts that demand it; the signature goes into MODULE.sig
///
/// Without MODULE, prints the public key for `[admin] trusted_keys`. A key that is not there yet is made.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Component made by `subcast build`
    #[arg(value_name = "MODULE")]
    module: Option<PathBuf>,
    /// Private ed25519 key in PEM; keep it where the host does not see it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Some(module) = &arguments.module else {
        return output::line(deploy::public(&key_or_new(arguments)?));
    };
    let failed = |path: &PathBuf, error: std::io::Error| Failure::failed(format!("{}: {error}", path.display()));
    let key = read(arguments)?;
    let (digest, _) = fs::File::open(module).and_then(sha256).map_err(|error| failed(module, error))?;
    let signature = deploy::sign(&key, &digest);
    let beside = deploy::signature_file(module);
    fs::write(&beside, signature + "\n").map_err(|error| failed(&beside, error))?;
    output::line(format_args!("signed: {}", beside.display()))
}

fn read(arguments: &Arguments) -> Result<SigningKey, Failure> {
    let path = arguments.key.display();
    let text = fs::read_to_string(&arguments.key).map_err(|error| {
        Failure::failed(format!("failed to read the key {path}: {error}; `subcast sign --key {path}` makes one"))
    })?;
    SigningKey::from_pkcs8_pem(&text)
        .map_err(|_| Failure::failed(format!("{path} is not a private ed25519 key in PEM (PKCS #8)")))
}

fn key_or_new(arguments: &Arguments) -> Result<SigningKey, Failure> {
    if arguments.key.exists() {
        return read(arguments);
    }
    let key = SigningKey::from_bytes(&rand::random());
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(Failure::failed)?;
    let failed = |error| Failure::failed(format!("failed to write {}: {error}", arguments.key.display()));
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&arguments.key).map_err(failed)?;
    file.write_all(pem.as_bytes()).map_err(failed)?;
    Ok(key)
}
