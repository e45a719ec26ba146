//! Compiled guests, built once and kept under `target/` by the digest of their sources.

use std::path::{Path, PathBuf};

use subcast::componentize::{BuildRequest, build, sources_digest};
use subcast::runtime::config::Config;
use subcast::sandbox::{self, Sandbox};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the build puts things.
pub fn target() -> PathBuf {
    // target/{profile}/subcast → target
    Path::new(env!("CARGO_BIN_EXE_subcast")).parent().and_then(Path::parent).unwrap().to_owned()
}

/// The component of `tests/guests/NAME/resolvers.py`; a `-` in the name leads into a folder.
pub async fn built(name: &str) -> PathBuf {
    let source = root().join("tests/guests").join(name.replace('-', "/")).join("resolvers.py");
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

/// The table of a module in a configuration, with these additional lines.
pub async fn table(name: &str, lines: &str) -> String {
    format!("[[module]]\nname = \"{name}\"\npath = \"{}\"\n{lines}\n", built(name).await.display())
}

/// Another version of a guest: each of these texts of the component replaced by one of equal length. Texts that Python
/// looks up by hash must not be among them, since hashes are part of the component, too.
pub async fn patched(name: &str, label: &str, replacements: &[(&str, &str)]) -> PathBuf {
    let original = built(name).await;
    let output = original.with_file_name(format!("{}-{label}.wasm", original.file_stem().unwrap().display()));
    let mut bytes = std::fs::read(original).unwrap();
    for (from, to) in replacements {
        assert_eq!(from.len(), to.len());
        let places: Vec<_> = memchr::memmem::find_iter(&bytes, from).collect();
        assert!(!places.is_empty(), "{from} is not in the component");
        for place in places {
            bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    // By renaming: other tests may want the same at once.
    let mut file = tempfile::NamedTempFile::new_in(output.parent().unwrap()).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    file.persist(&output).unwrap();
    output
}

/// The guest `swap` with this version in its answers, compiled.
pub async fn version(number: u32) -> PathBuf {
    let version = format!("version-{number:04}");
    compiled(patched("swap", &version, &[("version-0000", &version)]).await).await
}

/// Sees to it that the component is compiled, so that no client has to wait for that.
pub async fn compiled(path: PathBuf) -> PathBuf {
    let turn = std::fs::File::create(path.with_extension("compiling")).unwrap();
    let turn = tokio::task::spawn_blocking(move || turn.lock().map(|()| turn)).await.unwrap().unwrap();
    let mut config = sandbox::Config { threads: 1, instances: 1, ..sandbox::Config::default() };
    share_sandbox_cache(&mut config);
    let sandbox = Sandbox::start(config).unwrap();
    drop(sandbox.load("compiled", &path, sandbox::Limits::default()).await.unwrap());
    sandbox.shutdown().await;
    drop(turn);
    path
}

/// Where all tests keep compiled modules.
pub fn cache() -> PathBuf {
    target().join("guests/cache")
}

/// Lets tests share one cache of compiled modules, unless they name another one, and compile by the real binary.
pub fn share_cache(config: &mut Config) {
    share_sandbox_cache(&mut config.sandbox);
}

fn share_sandbox_cache(config: &mut sandbox::Config) {
    config.cache_dir.get_or_insert_with(cache);
    config.compiler = Some(vec![env!("CARGO_BIN_EXE_subcast").into(), "compile".into()]);
}
