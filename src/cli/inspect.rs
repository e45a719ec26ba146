//! `subcast inspect`: what a module is, and what it wants.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::{module, output, text, wait_for};
use crate::manifest::FieldManifest;
use crate::runtime::config::module_name;
use crate::sandbox::Module;

/// Show a module: digest, size, schema, fields, channels, filters, scope, capabilities, SDK
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A component made by `subcast build`
    #[arg(value_name = "MODULE")]
    module: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.module;
    wait_for(module::with(&module_name(path), path, |module| {
        if arguments.json {
            return output::json(&module::description(path, module));
        }
        output::line(path.display())?;
        show(module)
    }))
}

fn show(module: &Module) -> Result<(), Failure> {
    let manifest = module.manifest();
    let capabilities =
        if manifest.capabilities.is_empty() { "none".to_owned() } else { manifest.capabilities.join(", ") };
    row("digest", format_args!("sha256:{}", module.digest()))?;
    row("size", text::size(module.size()))?;
    row("SDK", &manifest.sdk)?;
    row("capabilities", capabilities)?;
    for field in &manifest.fields {
        show_field(field)?;
    }
    output::line("\nschema")?;
    manifest.schema.trim().lines().try_for_each(|line| output::line(format!("  {line}").trim_end()))
}

fn show_field(field: &FieldManifest) -> Result<(), Failure> {
    output::line(format_args!("\nSubscription.{}", field.name))?;
    row("channel", &field.channel)?;
    row("events", field.events.join(", "))?;
    for equality in &field.matches {
        row("match", format_args!("{} = event.data.{}", equality.argument, equality.path))?;
    }
    if let Some(predicate) = &field.predicate {
        row("where", predicate)?;
    }
    row("scope", module::scope(field))?;
    row("resolver", format_args!("{}:{} {}", field.file, field.line, field.function))
}

fn row(label: &str, value: impl std::fmt::Display) -> Result<(), Failure> {
    output::line(format_args!("  {label:<13} {value}"))
}
