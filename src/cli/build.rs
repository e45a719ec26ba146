//! `subcast build`: from Python to a component that is known to work.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::failure::Failure;
use super::signals::Signals;
use super::terminal::{self, Progress};
use super::{module, output, text, wait_for};
use crate::componentize::{self, BuildError, BuildRequest};
use crate::modules;
use crate::runtime::config::module_name;

const TOOL: &str =
    "The componentize-py to use; by default $SUBCAST_COMPONENTIZE_PY, $PATH, or a .venv above the source";

/// Compile Python resolvers to a component, and check them against their schema
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Python file with resolvers, or a folder with a resolvers.py
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The component; by default the source with .wasm
    #[arg(short, long, value_name = "MODULE")]
    output: Option<PathBuf>,
    #[arg(long, value_name = "FILE", help = TOOL)]
    componentize_py: Option<PathBuf>,
    /// Print one JSON object, as `inspect --json` does
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    wait_for(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            done = build(arguments) => done,
            () = signals.next() => Err(Failure::failed("interrupted; nothing was written")),
        }
    })
}

/// The output appears when everything is right, and is left as it was otherwise.
async fn build(arguments: &Arguments) -> Result<(), Failure> {
    if !arguments.source.exists() {
        return Err(Failure::failed(BuildError::SourceNotFound(arguments.source.clone())));
    }
    let began = Instant::now();
    let path = arguments.output.clone().unwrap_or_else(|| beside(&arguments.source));
    let progress = Progress::start("building");
    // Under another name first, in the same folder: what is there now stays until the new one is known to work.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unchecked = tempfile::Builder::new().prefix(".subcast-").suffix(".wasm").tempfile_in(folder);
    let unchecked = unchecked.map_err(|error| unwritable(&path, &error))?.into_temp_path();
    let request = BuildRequest {
        source: arguments.source.clone(),
        output: unchecked.to_path_buf(),
        tool: arguments.componentize_py.clone(),
        ..BuildRequest::default()
    };
    componentize::build(&request, |stage| progress.say(stage)).await.map_err(Failure::failed)?;

    progress.say("checking the resolvers against their schema");
    let name = module_name(&path);
    let (description, fields, size) = module::with(&name, &unchecked, |module| {
        modules::check(&name, module.manifest()).map_err(Failure::failed)?;
        Ok((module::description(&path, module), module::fields(module), module.size()))
    })
    .await?;
    unchecked.persist(&path).map_err(|error| unwritable(&path, &error.error))?;
    drop(progress);

    if arguments.json {
        return output::json(&description);
    }
    let (size, seconds) = (text::size(size), began.elapsed().as_secs_f64());
    output::line(format_args!("built {} ({size}, {seconds:.1} s): {fields}", path.display()))?;
    if terminal::is_watched() {
        output::line(format_args!("serve it with: subcast serve {}", path.display()))?;
    }
    Ok(())
}

/// `resolvers.wasm` for `resolvers.py`, or for the folder that it is in.
fn beside(source: &Path) -> PathBuf {
    if source.is_dir() { source.join("resolvers.wasm") } else { source.with_extension("wasm") }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written: {error}", path.display()))
}
