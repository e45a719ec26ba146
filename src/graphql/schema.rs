//! The schema that operations are checked against, and what others must know of its subscription fields.

use std::sync::Arc;

use apollo_compiler::ast;
use apollo_compiler::collections::HashMap;
use apollo_compiler::parser::Parser;
use apollo_compiler::schema::{ExtendedType, FieldDefinition, Implementers};
use apollo_compiler::validation::Valid;
use apollo_compiler::{Name, Schema as Definitions};
use indexmap::IndexMap;

use super::compose::{self, SchemaError, SchemaPart};
use super::document::Document;
use super::error::{self, GraphqlError};
use super::limits::Limits;
use super::selection::EnumType;

/// Operations of one document. Validation visits what they select for each of them, shared fragments included: 460 operations
/// on one fragment of 18 KB took 88 ms.
const MAX_OPERATIONS: usize = 50;

/// A valid GraphQL schema, immutable.
#[derive(Debug)]
pub struct Schema {
    pub(super) definitions: Valid<Definitions>,
    /// Computed once: it is a scan over all types.
    pub(super) implementers: HashMap<Name, Implementers>,
    /// Its enums, for selections.
    pub(super) enums: HashMap<Name, Arc<EnumType>>,
    sdl: String,
    fields: IndexMap<String, SubscriptionField>,
}

/// A root field of the subscription type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionField {
    /// Its name.
    pub name: Arc<str>,
    /// Its arguments, in the order of the schema.
    pub arguments: Vec<Argument>,
    /// Whether it may be null; where it may not, a failure makes the whole `data` null.
    pub nullable: bool,
}

/// An argument of a subscription field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Name of its type without list and non-null marks.
    pub type_name: String,
    /// What kind of type that is.
    pub kind: ArgumentKind,
    /// Whether it is a list, of any depth.
    pub list: bool,
    /// Whether every subscription has a value for it that is not null: non-null in the schema.
    pub required: bool,
}

/// Kinds of input types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// `ID`; its values are always strings once coerced.
    Id,
    /// `String`
    String,
    /// `Int`
    Int,
    /// `Float`
    Float,
    /// `Boolean`
    Boolean,
    /// An enum; its values are strings.
    Enum,
    /// A scalar of the schema's own; its values may be any JSON.
    Custom,
    /// An input object.
    Input,
}

impl Schema {
    /// One schema from the SDL of one or several modules. A default `Query` is added if nobody has one; identical
    /// type definitions are shared; the fields of the root types are united.
    ///
    /// Refused, naming the modules and the subject: SDL that is not valid by itself, definitions of one name that
    /// differ, and a subscription field that two modules have.
    pub fn compose(parts: &[SchemaPart<'_>]) -> Result<Self, SchemaError> {
        compose::compose(parts).map(Self::new)
    }

    fn new(definitions: Valid<Definitions>) -> Self {
        let implementers = definitions.implementers_map();
        let sdl = definitions.to_string();
        let fields = definitions
            .root_operation(ast::OperationType::Subscription)
            .and_then(|name| definitions.get_object(name))
            .into_iter()
            .flat_map(|root| root.fields.values())
            .map(|field| (field.name.to_string(), SubscriptionField::new(&definitions, field)))
            .collect();
        let enums = definitions.types.iter().filter_map(|(name, definition)| {
            let values = definition.as_enum()?.values.keys();
            let mut values: Box<[Box<str>]> = values.map(|value| value.as_str().into()).collect();
            values.sort_unstable();
            Some((name.clone(), Arc::new(EnumType { name: name.as_str().into(), values })))
        });
        let enums = enums.collect();
        Self { definitions, implementers, enums, sdl, fields }
    }

    /// The whole schema as SDL.
    #[must_use]
    pub fn sdl(&self) -> &str {
        &self.sdl
    }

    /// The subscription field of this name.
    #[must_use]
    pub fn subscription_field(&self, name: &str) -> Option<&SubscriptionField> {
        self.fields.get(name)
    }

    /// All subscription fields, in the order of the schema.
    pub fn subscription_fields(&self) -> impl Iterator<Item = &SubscriptionField> {
        self.fields.values()
    }

    /// Parses and validates a client's document. Time is bounded by the limits: 10,000 tokens take a few milliseconds.
    pub fn parse(self: &Arc<Self>, text: &str, limits: &Limits) -> Result<Document, Vec<GraphqlError>> {
        if text.len() > limits.bytes {
            return Err(vec![GraphqlError::new(format!("the document is longer than {} bytes", limits.bytes))]);
        }
        // The parser's recursion limit stays at its default: raising it can overflow the stack.
        let mut parser = Parser::new().token_limit(limits.tokens);
        let parsed = parser
            .parse_executable(&self.definitions, text, "document")
            .map_err(|refused| error::from_diagnostics(&refused.errors, limits.errors))?;
        let operations = parsed.operations.iter().count();
        if operations > MAX_OPERATIONS {
            let message = format!("the document has {operations} operations, and {MAX_OPERATIONS} is the limit");
            return Err(vec![GraphqlError::new(message)]);
        }
        let document = parsed
            .validate(&self.definitions)
            .map_err(|refused| error::from_diagnostics(&refused.errors, limits.errors))?;
        Ok(Document::new(Arc::clone(self), document, limits.clone()))
    }
}

impl SubscriptionField {
    fn new(definitions: &Definitions, field: &FieldDefinition) -> Self {
        let arguments = field
            .arguments
            .iter()
            .map(|argument| Argument {
                name: argument.name.to_string(),
                type_name: argument.ty.inner_named_type().to_string(),
                kind: ArgumentKind::of(definitions, argument.ty.inner_named_type()),
                list: argument.ty.is_list(),
                required: argument.ty.is_non_null(),
            })
            .collect();
        Self { name: field.name.as_str().into(), arguments, nullable: !field.ty.is_non_null() }
    }

    /// The argument of this name.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| argument.name == name)
    }
}

impl ArgumentKind {
    pub(super) fn of(definitions: &Definitions, name: &str) -> Self {
        match (name, definitions.types.get(name)) {
            ("ID", _) => Self::Id,
            ("String", _) => Self::String,
            ("Int", _) => Self::Int,
            ("Float", _) => Self::Float,
            ("Boolean", _) => Self::Boolean,
            (_, Some(ExtendedType::Enum(_))) => Self::Enum,
            (_, Some(ExtendedType::InputObject(_))) => Self::Input,
            _ => Self::Custom,
        }
    }
}
