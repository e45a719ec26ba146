//! Puts the schemas of several modules together.
//!
//! Each part must be valid by itself, so that an error names the module that has to change.

use apollo_compiler::ast::{OperationType, Type};
use apollo_compiler::collections::{HashMap, IndexMap};
use apollo_compiler::parser::Parser;
use apollo_compiler::schema::{Component, ExtendedType, FieldDefinition, ObjectType};
use apollo_compiler::validation::{DiagnosticList, Valid};
use apollo_compiler::{Name, Node, Schema as Definitions};
use thiserror::Error;

use super::error::{self, GraphqlError};
use crate::text::quoted;

/// Levels of `[[…]]` in a type: projection recurses once per level.
const MAX_LIST_NESTING: usize = 8;
/// Bytes of one module's schema.
const MAX_BYTES: usize = 4 << 20;
/// Tokens of one module's schema, white space included. They bound the parser: for what is no schema, it takes microseconds per token.
const MAX_TOKENS: usize = 500_000;
/// Longest name in a schema; messages quote them.
const MAX_NAME: usize = 1_024;
/// Bytes of one error; it quotes the schema.
const ERROR_BYTES: usize = 500;
/// Errors reported about one schema.
const MAX_ERRORS: usize = 20;
const ROOTS: [OperationType; 3] = [OperationType::Query, OperationType::Mutation, OperationType::Subscription];

/// The schema of one module.
#[derive(Clone, Copy, Debug)]
pub struct SchemaPart<'a> {
    /// What the module is called in messages.
    pub module: &'a str,
    /// Its schema.
    pub sdl: &'a str,
}

/// Why schemas were refused.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SchemaError {
    /// A schema that is not valid, whatever the others are.
    #[error("the schema of module {module} is not valid: {}", sentences(.errors))]
    Invalid {
        /// Whose.
        module: String,
        /// What is wrong; at least one.
        errors: Vec<GraphqlError>,
    },
    /// Two definitions of one name that are not the same.
    #[error("modules {first} and {second} define {subject} differently")]
    Conflict {
        /// The module that came first.
        first: String,
        /// The module that disagrees.
        second: String,
        /// For example ``type `User` ``.
        subject: String,
    },
    /// Two modules that resolve the same field.
    #[error("modules {first} and {second} both have the subscription field `{field}`")]
    Duplicate {
        /// The module that came first.
        first: String,
        /// The module that has it too.
        second: String,
        /// The field.
        field: String,
    },
    /// Schemas that are valid one by one, but not together.
    #[error("the schemas of the modules do not fit together: {}", sentences(.errors))]
    Unfit {
        /// What is wrong; at least one.
        errors: Vec<GraphqlError>,
    },
}

pub(super) fn compose(parts: &[SchemaPart<'_>]) -> Result<Valid<Definitions>, SchemaError> {
    let mut parts = parts.iter();
    let mut composed = match parts.next() {
        Some(first) => Composed::new(first.module, load(first)?),
        None => Composed::new("", Definitions::new()),
    };
    for part in parts {
        let module = load(part)?;
        composed.add(part.module, module)?;
    }
    with_query(composed.definitions)
        .validate()
        .map_err(|refused| SchemaError::Unfit { errors: error::from_diagnostics(&refused.errors, MAX_ERRORS) })
}

/// Parses one part and makes sure of it. What comes back has not been given a `Query`.
fn load(part: &SchemaPart<'_>) -> Result<Definitions, SchemaError> {
    let invalid = |errors| SchemaError::Invalid { module: part.module.to_owned(), errors };
    let refused = |list: &DiagnosticList| invalid(error::from_diagnostics(list, MAX_ERRORS));
    bounded(part.sdl).map_err(|problem| invalid(vec![GraphqlError::new(problem)]))?;
    let mut builder = Definitions::builder().adopt_orphan_extensions();
    Parser::new().token_limit(MAX_TOKENS).parse_into_schema_builder(part.sdl, part.module, &mut builder);
    let definitions = builder.build().map_err(|broken| refused(&broken.errors))?;
    with_query(definitions.clone()).validate().map_err(|broken| refused(&broken.errors))?;
    let too_deep = definitions.types.values().flat_map(fields_of).find(|field| depth(&field.ty) > MAX_LIST_NESTING);
    match too_deep {
        Some(field) => Err(invalid(vec![GraphqlError::new(format!(
            "field `{}`: lists may be nested {MAX_LIST_NESTING} deep at most",
            field.name
        ))])),
        None => Ok(definitions),
    }
}

/// What is too large to be looked at.
fn bounded(sdl: &str) -> Result<(), String> {
    if sdl.len() > MAX_BYTES {
        return Err(format!("it has {} bytes, and {MAX_BYTES} are allowed", sdl.len()));
    }
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let longest = sdl.as_bytes().split(|byte| !name(byte)).map(<[u8]>::len).max();
    match longest {
        Some(longest) if longest > MAX_NAME => {
            Err(format!("a word in it has {longest} characters, and {MAX_NAME} are allowed"))
        }
        _ => Ok(()),
    }
}

/// Adds `type Query { _empty: Boolean }` where there is no query type: GraphQL requires one, subscriptions do not.
fn with_query(mut definitions: Definitions) -> Definitions {
    let name = Name::new_static_unchecked("Query");
    if definitions.schema_definition.query.is_some() || definitions.types.contains_key(&name) {
        return definitions;
    }
    let empty = FieldDefinition {
        description: Some("This server serves subscriptions only.".into()),
        name: Name::new_static_unchecked("_empty"),
        arguments: Vec::new(),
        ty: Type::Named(Name::new_static_unchecked("Boolean")),
        directives: apollo_compiler::ast::DirectiveList::new(),
    };
    let query = ObjectType {
        description: None,
        name: name.clone(),
        implements_interfaces: apollo_compiler::collections::IndexSet::default(),
        directives: apollo_compiler::schema::DirectiveList::new(),
        fields: IndexMap::from_iter([(empty.name.clone(), Component::new(empty))]),
    };
    definitions.types.insert(name.clone(), ExtendedType::Object(Node::new(query)));
    definitions.schema_definition.make_mut().query = Some(name.into());
    definitions
}

/// The definitions so far, and who brought them.
struct Composed {
    definitions: Definitions,
    first: String,
    types: HashMap<Name, String>,
    directives: HashMap<Name, String>,
    fields: HashMap<(Name, Name), String>,
}

impl Composed {
    fn new(module: &str, definitions: Definitions) -> Self {
        let mut composed = Self {
            first: module.to_owned(),
            types: definitions.types.keys().map(|name| (name.clone(), module.to_owned())).collect(),
            directives: definitions
                .directive_definitions
                .keys()
                .map(|name| (name.clone(), module.to_owned()))
                .collect(),
            fields: HashMap::default(),
            definitions,
        };
        for operation in ROOTS {
            if let Some(root) = composed.definitions.root_operation(operation).cloned() {
                let fields = composed.definitions.get_object(&root).into_iter().flat_map(|object| object.fields.keys());
                composed.fields.extend(fields.map(|field| ((root.clone(), field.clone()), module.to_owned())));
            }
        }
        composed
    }

    fn add(&mut self, module: &str, other: Definitions) -> Result<(), SchemaError> {
        let sources = other.sources.iter().map(|(id, source)| (*id, source.clone()));
        std::sync::Arc::make_mut(&mut self.definitions.sources).extend(sources);
        let mut roots = Vec::new();
        for operation in ROOTS {
            if let Some(name) = other.root_operation(operation).cloned() {
                self.adopt_root(operation, &name, module)?;
                roots.push((name, operation.is_subscription()));
            }
        }
        for (name, directive) in other.directive_definitions {
            match self.definitions.directive_definitions.get(&name) {
                Some(known) if *known == directive => {}
                Some(known) if !known.is_built_in() => {
                    return Err(conflict(&self.directives[&name], module, format!("directive `@{name}`")));
                }
                _ => {
                    self.directives.insert(name.clone(), module.to_owned());
                    self.definitions.directive_definitions.insert(name, directive);
                }
            }
        }
        for (name, definition) in other.types {
            let root = roots.iter().find(|(root, _)| *root == name);
            match (self.definitions.types.get(&name), root, &definition) {
                (None, ..) => {
                    if let (Some(_), ExtendedType::Object(object)) = (root, &definition) {
                        let fields = object.fields.keys();
                        self.fields.extend(fields.map(|field| ((name.clone(), field.clone()), module.to_owned())));
                    }
                    self.types.insert(name.clone(), module.to_owned());
                    self.definitions.types.insert(name, definition);
                }
                (Some(ExtendedType::Object(_)), Some((_, subscription)), ExtendedType::Object(object)) => {
                    self.unite(&name, object, *subscription, module)?;
                }
                (Some(known), ..) if *known == definition => {}
                (Some(_), ..) => return Err(conflict(&self.types[&name], module, format!("type `{name}`"))),
            }
        }
        Ok(())
    }

    /// The root types must have the same names everywhere.
    fn adopt_root(&mut self, operation: OperationType, name: &Name, module: &str) -> Result<(), SchemaError> {
        match self.definitions.root_operation(operation) {
            Some(known) if known == name => return Ok(()),
            Some(_) => return Err(conflict(&self.first, module, format!("the name of the {operation} type"))),
            None => {}
        }
        let roots = self.definitions.schema_definition.make_mut();
        let root = match operation {
            OperationType::Query => &mut roots.query,
            OperationType::Mutation => &mut roots.mutation,
            OperationType::Subscription => &mut roots.subscription,
        };
        *root = Some(name.clone().into());
        Ok(())
    }

    /// Adds the fields of a root type to the one there is.
    fn unite(&mut self, name: &Name, other: &ObjectType, subscription: bool, module: &str) -> Result<(), SchemaError> {
        let Some(ExtendedType::Object(object)) = self.definitions.types.get_mut(name) else { return Ok(()) };
        let object = object.make_mut();
        for (field, definition) in &other.fields {
            let key = (name.clone(), field.clone());
            match object.fields.get(field) {
                Some(_) if subscription => {
                    let first = self.fields.get(&key).cloned().unwrap_or_default();
                    return Err(SchemaError::Duplicate { first, second: module.to_owned(), field: field.to_string() });
                }
                Some(known) if known == definition => {}
                Some(_) => {
                    let first = self.fields.get(&key).map_or("", String::as_str);
                    return Err(conflict(first, module, format!("field `{name}.{field}`")));
                }
                None => {
                    self.fields.insert(key, module.to_owned());
                    object.fields.insert(field.clone(), definition.clone());
                }
            }
        }
        object.implements_interfaces.extend(other.implements_interfaces.iter().cloned());
        Ok(())
    }
}

fn conflict(first: &str, second: &str, subject: String) -> SchemaError {
    SchemaError::Conflict { first: first.to_owned(), second: second.to_owned(), subject }
}

fn fields_of(definition: &ExtendedType) -> impl Iterator<Item = &Component<FieldDefinition>> {
    match definition {
        ExtendedType::Object(object) => Some(&object.fields),
        ExtendedType::Interface(interface) => Some(&interface.fields),
        _ => None,
    }
    .into_iter()
    .flat_map(IndexMap::values)
}

fn depth(ty: &Type) -> usize {
    let mut levels = 0;
    let mut ty = ty;
    while ty.is_list() {
        ty = ty.item_type();
        levels += 1;
    }
    levels
}

fn sentences(errors: &[GraphqlError]) -> String {
    errors.iter().map(|error| quoted(&error.to_string(), ERROR_BYTES)).collect::<Vec<_>>().join("; ")
}
