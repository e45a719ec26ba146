//! Compiled guests, built once and kept under `target/` by the digest of their sources.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use subcast::componentize::{BuildRequest, build, sources_digest};
use subcast::runtime::config::Config;
use tokio::sync::Mutex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> PathBuf {
    // target/{profile}/subcast → target
    Path::new(env!("CARGO_BIN_EXE_subcast")).parent().and_then(Path::parent).unwrap().to_owned()
}

/// The component of `tests/guests/NAME/resolvers.py`.
pub async fn built(name: &str) -> PathBuf {
    static BUILDS: LazyLock<Mutex<HashMap<String, Arc<Mutex<()>>>>> = LazyLock::new(Mutex::default);
    // Several tests may want the same guest at once; one builds it.
    let turn = Arc::clone(BUILDS.lock().await.entry(name.to_owned()).or_default());
    let _turn = turn.lock().await;
    let source = root().join("tests/guests").join(name).join("resolvers.py");
    let digest = sources_digest(&source).unwrap();
    let output = target().join("guests").join(format!("{name}-{digest}.wasm"));
    if !output.exists() {
        std::fs::create_dir_all(output.parent().unwrap()).unwrap();
        // Under another name first: a build that was cut off must not look finished.
        let unfinished = output.with_extension("unfinished.wasm");
        build(&BuildRequest { source, output: unfinished.clone(), ..BuildRequest::default() }, |_| {}).await.unwrap();
        std::fs::rename(unfinished, &output).unwrap();
    }
    output
}

/// Lets all tests share one cache of compiled modules, and compile by the real binary.
pub fn share_cache(config: &mut Config) {
    config.sandbox.cache_dir = Some(target().join("guests/cache"));
    config.sandbox.compiler = Some(vec![env!("CARGO_BIN_EXE_subcast").into(), "compile".into()]);
}
