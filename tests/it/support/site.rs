//! A host with a folder of its own, which is stopped and started.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::client::Client;
use super::guests;
use super::process::Process;

/// A folder with a configuration of one module, `swap`, and its file.
pub struct Site {
    pub folder: tempfile::TempDir,
}

impl Site {
    pub async fn new(keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("[[module]]\nname = \"swap\"\npath = \"swap.wasm\"\n{keys}");
        std::fs::write(folder.path().join("subcast.toml"), config).unwrap();
        let site = Self { folder };
        site.put(&guests::compiled(guests::built("swap").await).await);
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts another file in the place of the module's, by renaming.
    pub fn put(&self, component: &Path) {
        std::fs::copy(component, self.path("swap.new")).unwrap();
        std::fs::rename(self.path("swap.new"), self.path("swap.wasm")).unwrap();
    }

    pub async fn start(&self) -> Process {
        Process::start(&["--config", self.path("subcast.toml").to_str().unwrap()]).await
    }
}

/// The version that answers an event now.
pub async fn version(host: &Process) -> String {
    let mut client = Client::connect(host.address).await;
    client.subscribed("t", "subscription { tick { seq version } }").await;
    host.emit("ticks", "tick", json!({"seq": 1, "id": "1"})).await;
    client.next("t").await["data"]["tick"]["version"].as_str().unwrap().to_owned()
}
