//! Reads the file. Every key in it must be known, so that a misspelt one is not lost without a word.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Value};

use super::error::ConfigError;
use super::keys::{self, MODULE, SECTIONS, Section, later};
use super::layers::Layers;
use super::settings::{Origin, Raw, Settings};

impl Layers {
    /// Adds what the file sets.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        self.add_document(&File { path: Some(Arc::new(path.to_owned())), text: &text })
    }

    /// Adds what an embedding sets: a JSON object with the keys of the file.
    pub(super) fn add_settings(&mut self, settings: &str) -> Result<(), ConfigError> {
        let wrong = |problem: String| ConfigError::Value { place: Origin::Argument.to_string(), problem };
        let table: toml::Table = serde_json::from_str(settings).map_err(|error| wrong(error.to_string()))?;
        let text = toml::to_string(&table).map_err(|error| wrong(error.to_string()))?;
        self.add_document(&File { path: None, text: &text })
    }

    fn add_document(&mut self, file: &File<'_>) -> Result<(), ConfigError> {
        let document = DeTable::parse(file.text).map_err(|error| file.syntax(&error))?.into_inner();
        for (name, value) in document {
            let origin = file.origin(&name);
            let name = name.into_inner();
            let Some(section) = keys::section(&name) else { return Err(unknown_section(&origin, &name)) };
            match value.into_inner() {
                DeValue::Array(entries) if section.name == MODULE => {
                    for entry in entries {
                        let begins = file.origin(&entry);
                        let DeValue::Table(table) = entry.into_inner() else { return Err(not_tables(&begins)) };
                        let mut settings = Settings::new(section, Some(begins));
                        file.walk(section, "", table, &mut settings)?;
                        self.modules.push(settings);
                    }
                }
                _ if section.name == MODULE => return Err(not_tables(&origin)),
                DeValue::Table(table) => file.walk(section, "", table, self.section(section.name))?,
                _ => {
                    let problem = format!("expected a table: write [{name}] on a line of its own, and its keys below");
                    return Err(ConfigError::Value { place: origin.to_string(), problem });
                }
            }
        }
        Ok(())
    }
}

struct File<'t> {
    /// `None` if it is none.
    path: Option<Arc<PathBuf>>,
    text: &'t str,
}

impl File<'_> {
    /// Takes over the keys of a table. `prefix` names the inline table, if it is one, and ends with a dot.
    fn walk(
        &self,
        section: &'static Section,
        prefix: &str,
        table: DeTable<'_>,
        into: &mut Settings,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let origin = self.origin(&name);
            let name = format!("{prefix}{}", name.into_inner());
            if let Some(key) = section.key(&name) {
                let value = Value::deserialize(ValueDeserializer::from(value)).map_err(|error| self.syntax(&error))?;
                into.set(key.name, Raw::Toml(value), origin);
            } else if section.is_table(&name) {
                let DeValue::Table(table) = value.into_inner() else {
                    let below = section.names_below(&format!("{name}."));
                    let problem = format!("expected a table: {name} = {{ {} = … }}", below.join(" = …, "));
                    return Err(ConfigError::Value { place: origin.place(section.name, &name), problem });
                };
                self.walk(section, &format!("{name}."), table, into)?;
            } else {
                return Err(unknown_key(&origin, section, prefix, &name));
            }
        }
        Ok(())
    }

    fn origin<T>(&self, at: &Spanned<T>) -> Origin {
        match &self.path {
            Some(path) => Origin::File(Arc::clone(path), self.line(at.span().start)),
            None => Origin::Argument,
        }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let line = self.line(error.span().map_or(0, |span| span.start));
        let message = error.message().replace('\n', "; ");
        match &self.path {
            Some(path) => ConfigError::Syntax { path: path.to_path_buf(), line, message },
            None => ConfigError::Value { place: Origin::Argument.to_string(), problem: message },
        }
    }
}

fn not_tables(origin: &Origin) -> ConfigError {
    let problem =
        "each module has a table of its own: write [[module]] on a line of its own, and its keys below".to_owned();
    ConfigError::Value { place: origin.to_string(), problem }
}

/// That there is no such section, or not yet.
pub(super) fn unknown_section(origin: &Origin, name: &str) -> ConfigError {
    if let Some(instead) = later(name, "") {
        return ConfigError::NotYet { place: origin.place(name, ""), instead: instead.to_owned() };
    }
    let known = SECTIONS.iter().map(|section| section.name);
    let suggestion = suggestion(name, known.collect(), |name| format!("[{name}]"));
    ConfigError::UnknownSection { place: origin.to_string(), section: name.to_owned(), suggestion }
}

/// That the section has no such key, or not yet. `name` begins with `prefix`.
fn unknown_key(origin: &Origin, section: &'static Section, prefix: &str, name: &str) -> ConfigError {
    if let Some(instead) = later(section.name, name) {
        return ConfigError::NotYet { place: origin.place(section.name, name), instead: instead.to_owned() };
    }
    let last = name.strip_prefix(prefix).unwrap_or(name);
    let suggestion = suggestion(last, section.names_below(prefix), |name| format!("`{prefix}{name}`"));
    ConfigError::UnknownKey {
        place: origin.to_string(),
        section: section.name.to_owned(),
        key: name.to_owned(),
        suggestion,
    }
}

fn suggestion(name: &str, known: Vec<&'static str>, quoted: impl Fn(&str) -> String) -> String {
    if let Some(nearest) = keys::nearest(name, known.iter().copied()) {
        return format!("did you mean {}?", quoted(nearest));
    }
    let all: Vec<_> = known.into_iter().map(quoted).collect();
    format!("there {} {}", if all.len() == 1 { "is" } else { "are" }, all.join(", "))
}
