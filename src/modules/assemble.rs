//! From manifests to fields: everything that can be wrong between a module's decorators and its schema is said here.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::{Documents, EventTypes, Field, Generation};
use crate::graphql::{self, Limits, Schema, SchemaError, SchemaPart, SubscriptionField};
use crate::manifest::{FieldManifest, Manifest};
use crate::policy::{Argument, ArgumentKind, ChannelTemplate, Filter, FilterError, TemplateError};
use crate::sandbox::Module;

/// Why modules do not amount to a generation.
#[derive(Debug, Error)]
pub enum AssembleError {
    /// The SDL is wrong, or two modules contradict each other.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A module without resolvers.
    #[error("module `{0}` has no subscription: decorate a function with @subscription(\"field\", channel=\"…\")")]
    Empty(String),
    /// A field of the schema that no module resolves.
    #[error(
        "the schema declares Subscription.{field}, but no module resolves it: decorate a function with \
         @subscription(\"{field}\", channel=\"…\"), or remove the field from the schema"
    )]
    Unresolved {
        /// The field.
        field: String,
    },
    /// Two resolvers of one field.
    #[error("Subscription.{field} has two resolvers: {first} and {second}; remove one")]
    Twice {
        /// The field.
        field: String,
        /// Where the first is.
        first: String,
        /// Where the second is.
        second: String,
    },
    /// Something is wrong with one resolver.
    #[error("{location} (Subscription.{field}): {problem}")]
    Field {
        /// The field.
        field: String,
        /// `module: file:line function`.
        location: String,
        /// What.
        problem: Box<FieldProblem>,
    },
}

/// What is wrong with one resolver.
#[derive(Debug, Error)]
pub enum FieldProblem {
    /// The schema has no such field.
    #[error("the schema has no such field: add it to `type Subscription`{}", nearest.as_ref().map(|name| format!(", or did you mean `{name}`?")).unwrap_or_default())]
    NotInSchema {
        /// A field with nearly that name.
        nearest: Option<String>,
    },
    /// The channel template.
    #[error("channel: {0}")]
    Template(#[from] TemplateError),
    /// The channel template names an argument that the field lacks.
    #[error("channel `{template}` uses {{{argument}}}, but the field has no such argument")]
    UnknownArgument {
        /// The template.
        template: String,
        /// The argument.
        argument: String,
    },
    /// The channel template names an argument that may be missing.
    #[error(
        "channel `{template}` uses {{{argument}}}, which must be a required argument that is not a list: declare it as `{argument}: {kind}!`"
    )]
    OptionalArgument {
        /// The template.
        template: String,
        /// The argument.
        argument: String,
        /// Its type's name.
        kind: String,
    },
    /// `match` or `where`.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// Checks one module by itself, as `subcast build` does. Returns its schema.
pub fn check(name: &str, manifest: &Manifest) -> Result<Schema, AssembleError> {
    let schema = Schema::compose(&[SchemaPart { module: name, sdl: &manifest.schema }])?;
    fields(&schema, &[(name, manifest)])?;
    Ok(schema)
}

impl Generation {
    /// The first generation.
    pub fn first(modules: Vec<Arc<Module>>, limits: Limits) -> Result<Self, AssembleError> {
        let schema = Arc::new(compose(&modules)?);
        let documents = Arc::new(Documents::new(Arc::clone(&schema), limits));
        Self::assemble(1, modules, schema, documents)
    }

    /// The generation that comes after this one, with these modules in place of its own. A schema that says the same
    /// stays the same value, so that plans need not be made again.
    pub fn next(&self, modules: Vec<Arc<Module>>, limits: Limits) -> Result<Self, AssembleError> {
        let composed = compose(&modules)?;
        if composed.sdl() == self.schema.sdl() {
            return Self::assemble(self.number + 1, modules, Arc::clone(&self.schema), Arc::clone(&self.documents));
        }
        let schema = Arc::new(composed);
        let documents = Arc::new(Documents::new(Arc::clone(&schema), limits));
        Self::assemble(self.number + 1, modules, schema, documents)
    }

    fn assemble(
        number: u64,
        modules: Vec<Arc<Module>>,
        schema: Arc<Schema>,
        documents: Arc<Documents>,
    ) -> Result<Self, AssembleError> {
        let manifests: Vec<_> = modules.iter().map(|module| (module.name(), module.manifest())).collect();
        let fields = fields(&schema, &manifests)?
            .into_iter()
            .map(|(index, field)| (Arc::clone(&field.name), (Arc::new(field), Arc::clone(&modules[index]))))
            .collect();
        Ok(Self { number, schema, documents, modules, fields })
    }
}

fn compose(modules: &[Arc<Module>]) -> Result<Schema, SchemaError> {
    let parts: Vec<_> =
        modules.iter().map(|module| SchemaPart { module: module.name(), sdl: &module.manifest().schema }).collect();
    Schema::compose(&parts)
}

/// All fields of all modules, each with the index of its module.
fn fields(schema: &Schema, modules: &[(&str, &Manifest)]) -> Result<Vec<(usize, Field)>, AssembleError> {
    let mut fields = Vec::new();
    let mut owners: HashMap<&str, String> = HashMap::new();
    for (index, (module, manifest)) in modules.iter().enumerate() {
        if manifest.fields.is_empty() {
            return Err(AssembleError::Empty((*module).to_owned()));
        }
        for declared in &manifest.fields {
            let location = format!("{module}: {}", source(declared));
            if let Some(first) = owners.insert(&declared.name, location.clone()) {
                return Err(AssembleError::Twice { field: declared.name.clone(), first, second: location });
            }
            let field = field(schema, declared).map_err(|problem| AssembleError::Field {
                field: declared.name.clone(),
                location,
                problem: Box::new(problem),
            })?;
            fields.push((index, field));
        }
    }
    match schema.subscription_fields().find(|field| !owners.contains_key(&*field.name)) {
        Some(field) => Err(AssembleError::Unresolved { field: field.name.to_string() }),
        None => Ok(fields),
    }
}

fn field(schema: &Schema, declared: &FieldManifest) -> Result<Field, FieldProblem> {
    let definition = schema
        .subscription_field(&declared.name)
        .ok_or_else(|| FieldProblem::NotInSchema { nearest: nearest(schema, &declared.name) })?;
    let channel = ChannelTemplate::parse(&declared.channel)?;
    for name in channel.arguments() {
        let Some(argument) = definition.argument(name) else {
            return Err(FieldProblem::UnknownArgument {
                template: declared.channel.clone(),
                argument: name.to_owned(),
            });
        };
        if !argument.required || argument.list {
            return Err(FieldProblem::OptionalArgument {
                template: declared.channel.clone(),
                argument: name.to_owned(),
                kind: argument.type_name.clone(),
            });
        }
    }
    let filter = Filter::compile(&declared.matches, declared.predicate.as_deref(), &arguments(definition))?;
    let events = if declared.events.iter().any(|kind| kind == "*") {
        EventTypes::Any
    } else {
        EventTypes::Named(declared.events.clone())
    };
    Ok(Field {
        name: Arc::from(declared.name.as_str()),
        channel,
        events,
        filter,
        context: declared.context,
        source: source(declared),
    })
}

fn arguments(definition: &SubscriptionField) -> Vec<Argument> {
    let kind = |argument: &graphql::Argument| match argument.kind {
        _ if argument.list => ArgumentKind::Other,
        graphql::ArgumentKind::Id => ArgumentKind::Id,
        graphql::ArgumentKind::String => ArgumentKind::String,
        graphql::ArgumentKind::Int => ArgumentKind::Int,
        graphql::ArgumentKind::Float => ArgumentKind::Float,
        graphql::ArgumentKind::Boolean => ArgumentKind::Boolean,
        graphql::ArgumentKind::Enum => ArgumentKind::Enum,
        graphql::ArgumentKind::Custom | graphql::ArgumentKind::Input => ArgumentKind::Other,
    };
    definition.arguments.iter().map(|argument| Argument { name: argument.name.clone(), kind: kind(argument) }).collect()
}

fn source(declared: &FieldManifest) -> String {
    format!("{}:{} {}", declared.file, declared.line, declared.function)
}

fn nearest(schema: &Schema, name: &str) -> Option<String> {
    schema
        .subscription_fields()
        .map(|field| (strsim::jaro_winkler(&field.name, name), &field.name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_string())
}
