//! Credentials of the hosts that the tests have started, by address. Requests show them by themselves, as the command line
//! does; a request that names an `authorization` of its own, or an empty one, is left as it is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

static KNOWN: Mutex<Option<HashMap<SocketAddr, String>>> = Mutex::new(None);

/// Where hosts of tests leave their credentials, unless a test says otherwise.
pub fn folder() -> PathBuf {
    super::guests::target().join("guests/run")
}

/// The file of a host in a folder.
pub fn file(folder: &Path, address: SocketAddr) -> PathBuf {
    folder.join(format!("{address}.token"))
}

/// Reads the credential of a host that has just begun to listen.
pub fn learn(address: SocketAddr, file: &Path) {
    let token = std::fs::read_to_string(file).unwrap().trim().to_owned();
    KNOWN.lock().unwrap().get_or_insert_default().insert(address, token);
}

/// The credential of a host.
pub fn of(address: SocketAddr) -> Option<String> {
    KNOWN.lock().unwrap().as_ref()?.get(&address).cloned()
}

/// The header line that shows it.
pub fn line(address: SocketAddr) -> String {
    of(address).map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default()
}
