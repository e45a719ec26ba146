//! `subcast deploy`, `subcast rollback`, `subcast modules`: the modules of a running host.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::failure::Failure;
use super::subscribe::HOST;
use super::terminal::Progress;
use super::token::credential;
use super::{output, text, wait_for};
use crate::deploy::{DIGEST_START, DeployError, check_name, is_digest_start, signature_beside, signature_file};
use crate::runtime::config::module_name;
use crate::server::remote::{Address, Admin, AdminError, Permission};

/// Where the host is, and who asks.
#[derive(Debug, Args)]
struct To {
    #[arg(long = "to", value_name = "URL", value_parser = Address::parse, help = HOST)]
    url: Address,
    /// Token of the host's admin routes [default: what a host of this user on this machine has drawn]
    #[arg(long, value_name = "TOKEN", env = "SUBCAST_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl To {
    fn admin(&self) -> Result<Admin, Failure> {
        Admin::new(self.url.clone(), credential(self.token.as_deref())).map_err(Failure::failed)
    }
}

/// What every change of a host's modules takes.
#[derive(Debug, Args)]
struct Change {
    #[command(flatten)]
    to: To,
    /// End the subscriptions that do not fit the new version; they get the error `SCHEMA_CHANGED`
    #[arg(long)]
    force: bool,
    /// Let the new version show more than the one before
    #[arg(long)]
    allow_widening: bool,
    /// Print the host's report
    #[arg(long)]
    json: bool,
}

impl Change {
    fn permission(&self) -> Permission {
        Permission { force: self.force, allow_widening: self.allow_widening }
    }
}

/// Put a new version of a module into service on a running host; no subscriber and no event is lost
#[derive(Debug, Args)]
pub(super) struct Deploy {
    /// Component made by `subcast build`
    #[arg(value_name = "MODULE")]
    module: PathBuf,
    /// The module that it is a version of [default: the file's name without extension]
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    #[command(flatten)]
    change: Change,
}

/// Go back to the version before on a running host
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The module
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Go back (or forward) to the kept version whose digest begins so; `subcast modules` shows them
    #[arg(long, value_name = "DIGEST", value_parser = version)]
    version: Option<String>,
    #[command(flatten)]
    change: Change,
}

/// Show the modules of a running host, and their versions
#[derive(Debug, Args)]
pub(super) struct Modules {
    #[command(flatten)]
    to: To,
    /// Print them as one object
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<String, DeployError> {
    check_name(text).map(|()| text.to_owned())
}

fn version(text: &str) -> Result<String, &'static str> {
    let digest = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    if is_digest_start(&digest) { Ok(digest) } else { Err(DIGEST_START) }
}

pub(super) fn deploy(arguments: &Deploy) -> Result<(), Failure> {
    let Deploy { module, name, change } = arguments;
    let unread = |error| Failure::failed(format!("failed to read {}: {error}", module.display()));
    let component = fs::read(module).map_err(unread)?;
    if module.extension().is_some_and(|extension| extension == "py") {
        let file = module.display();
        return Err(Failure::usage(format!(
            "{file} is Python; build it with `subcast build {file}`, and deploy what this makes"
        )));
    }
    let is_named = name.is_some();
    let name = name.clone().unwrap_or_else(|| module_name(module));
    check_name(&name).map_err(|error| Failure::usage(format!("{error}; --name chooses another")))?;
    let beside = signature_file(module);
    let unread = |error| Failure::failed(format!("failed to read {}: {error}", beside.display()));
    let signature = signature_beside(module).map_err(unread)?;
    if signature.as_ref().is_some_and(|text| !text.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(Failure::failed(format!("{} is not a signature; `subcast sign` makes one", beside.display())));
    }
    let mut admin = change.to.admin()?;
    let progress = Progress::start(format_args!(
        "deploying {name}: a version that is new to the host is compiled there, for some seconds"
    ));
    let report = wait_for(async {
        let deployed = admin.deploy(&name, component.into(), signature.as_deref(), change.permission()).await;
        deployed.map_err(|error| match error {
            AdminError::Refused(reason) if !is_named => Failure::failed(format!(
                "{reason} (it was to be a version of module `{name}`, as its file is named; --name chooses another)"
            )),
            error => Failure::failed(error),
        })
    })?;
    drop(progress);
    tell(&report, change.json)
}

pub(super) fn rollback(arguments: &Rollback) -> Result<(), Failure> {
    let Rollback { name, version, change } = arguments;
    let mut admin = change.to.admin()?;
    let report = wait_for(async {
        admin.rollback(name, version.as_deref(), change.permission()).await.map_err(Failure::failed)
    })?;
    tell(&report, change.json)?;
    let before = report["previous"].as_str().filter(|_| report["unchanged"] == false && !change.json);
    match before {
        // Another rollback would go further back.
        Some(digest) => {
            let url = &change.to.url;
            output::line(format_args!("undo with: subcast rollback {name} --version {digest:.12} --to {url}"))
        }
        None => Ok(()),
    }
}

pub(super) fn modules(arguments: &Modules) -> Result<(), Failure> {
    let mut admin = arguments.to.admin()?;
    let answer = wait_for(async { admin.modules().await.map_err(Failure::failed) })?;
    if arguments.json {
        return output::json(&answer);
    }
    let none = Vec::new();
    for module in answer["modules"].as_array().unwrap_or(&none) {
        let live = module["digest"].as_str();
        let fields: Vec<_> = module["fields"].as_array().unwrap_or(&none).iter().filter_map(Value::as_str).collect();
        let state = live.map_or("removed".to_owned(), |digest| format!("{digest:.12}  {}", fields.join(", ")));
        output::line(format_args!("{}  {state}", plain(&module["name"])))?;
        for version in module["versions"].as_array().unwrap_or(&none).iter().rev() {
            let digest = version["digest"].as_str().unwrap_or_default();
            let mark = if Some(digest) == live { "*" } else { " " };
            let size = text::size(version["size"].as_u64().unwrap_or_default());
            output::line(format_args!("  {mark} {digest:.12}  {}  {size}", plain(&version["deployed"])))?;
        }
    }
    Ok(())
}

/// What was done, in one sentence.
fn tell(report: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(report);
    }
    let name = plain(&report["name"]);
    let digest = report["digest"].as_str().unwrap_or_default();
    if report["unchanged"] == true {
        return output::line(format_args!("{name} {digest:.12} is live already"));
    }
    let moved = text::count(report["moved"].as_u64().unwrap_or_default(), "subscription");
    let before = report["previous"].as_str().map_or("new".to_owned(), |digest| format!("{digest:.12} before"));
    let milliseconds = report["ms"]["live"].as_u64().unwrap_or_default();
    let mut said = format!("{name} {digest:.12} is live after {milliseconds} ms ({before}); {moved} moved");
    let ended = report["ended"].as_array().into_iter().flatten().filter_map(|ended| ended["subscriptions"].as_u64());
    let ended = ended.sum::<u64>();
    if ended > 0 {
        said = format!("{said}, {} ended", text::count(ended, "subscription"));
    }
    if report["stored"] == false {
        said.push_str("; it will not outlast a restart of the host, which has no module store or could not write to it (see its log)");
    }
    output::line(said)
}

fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
