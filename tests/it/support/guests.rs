//! Compiled guests, built once and kept under `target/` by the digest of their sources.

use std::path::{Path, PathBuf};

use subcast::componentize::{BuildRequest, build, sources_digest};
use subcast::runtime::config::Config;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> PathBuf {
    // target/{profile}/subcast → target
    Path::new(env!("CARGO_BIN_EXE_subcast")).parent().and_then(Path::parent).unwrap().to_owned()
}

/// The component of `tests/guests/NAME/resolvers.py`.
pub async fn built(name: &str) -> PathBuf {
    let source = root().join("tests/guests").join(name).join("resolvers.py");
    let digest = sources_digest(&source).unwrap();
    let output = target().join("guests").join(format!("{name}-{digest}.wasm"));
    std::fs::create_dir_all(output.parent().unwrap()).unwrap();
    // Several tests, in one process or in several, may want the same guest at once; one builds it.
    let turn = std::fs::File::create(output.with_extension("lock")).unwrap();
    let turn = tokio::task::spawn_blocking(move || turn.lock().map(|()| turn)).await.unwrap().unwrap();
    if !output.exists() {
        build(&BuildRequest { source, output: output.clone(), ..BuildRequest::default() }, |_| {}).await.unwrap();
    }
    drop(turn);
    output
}

/// Where all tests keep compiled modules.
pub fn cache() -> PathBuf {
    target().join("guests/cache")
}

/// Lets all tests share one cache of compiled modules, and compile by the real binary.
pub fn share_cache(config: &mut Config) {
    config.sandbox.cache_dir = Some(cache());
    config.sandbox.compiler = Some(vec![env!("CARGO_BIN_EXE_subcast").into(), "compile".into()]);
}
