//! Coercion of inputs: variables, and the arguments of a subscription's field (specification §3.5–3.13, §6.1.2, §6.4.1).
//!
//! `apollo-compiler` can coerce, too, but keeps IDs and floats as they were given and does not look inside defaults.
//! Here equal inputs become equal JSON, because arguments decide which subscriptions share a resolver's work: IDs are
//! strings, floats have a fraction, single values become lists where lists are expected, defaults are filled in at
//! every level.

use std::cell::Cell;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::ast::{self, Type};
use apollo_compiler::executable::{Field, Operation};
use apollo_compiler::schema::ExtendedType;
use serde_json::{Map, Number, Value};

use super::error::{GraphqlError, shortened};
use super::limits::Limits;
use super::schema::{ArgumentKind, Schema};
use crate::footprint::{self, LIST, OBJECT, VALUE};
use crate::number::{self, Exact};

/// Levels of lists and objects in an input. Resolvers parse it with a recursive parser on a small stack.
const MAX_NESTING: usize = 64;

/// Coerced variables, and what was wrong with the others.
pub(super) struct Variables {
    pub(super) values: Map<String, Value>,
    pub(super) errors: Vec<GraphqlError>,
}

/// What coercion may still make, in bytes. Every value is charged before it is made: a variable can be used in many places,
/// and a default of the schema applies once per object.
struct Purse {
    most: usize,
    left: Cell<usize>,
}

impl Purse {
    fn new(limits: &Limits) -> Self {
        Self { most: limits.arguments, left: Cell::new(limits.arguments) }
    }

    fn pay(&self, bytes: usize) -> Coerced<()> {
        let left = self.left.get().checked_sub(bytes);
        // Once it is empty it stays so: the next value must not fit where this one did not.
        self.left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| {
            let most = self.most;
            Misfit::new(format!(
                "With it, inputs would take more than {most} bytes of memory, the limit of [limits] arguments."
            ))
        })
    }

    /// A copy of this value.
    fn copy(&self, value: &Value) -> Coerced<Value> {
        self.pay(footprint::of_value(value, self.left.get()))?;
        Ok(value.clone())
    }
}

/// Why a value does not fit.
struct Misfit {
    /// From the variable or argument inwards, for example `.items[2].id`.
    path: String,
    reason: String,
}

type Coerced<T> = Result<T, Misfit>;

/// Coerces a request's variables to the types that the operation declares. Unknown ones are ignored.
pub(super) fn variables(
    schema: &Schema,
    document: &ExecutableDocument,
    operation: &Operation,
    given: &Map<String, Value>,
    limits: &Limits,
) -> Variables {
    let purse = Purse::new(limits);
    let (mut values, mut errors) = (Map::new(), Vec::new());
    for definition in &operation.variables {
        let (name, ty) = (definition.name.as_str(), &*definition.ty);
        let coerced = match (given.get(name), &definition.default_value) {
            (Some(Value::Null), _) if ty.is_non_null() => {
                Err(format!("Variable \"${name}\" of non-null type \"{ty}\" must not be null."))
            }
            (Some(value), _) => json(schema, &purse, ty, value, 0).map(Some).map_err(|misfit| misfit.sentence(name)),
            (None, Some(default)) => {
                literal(schema, &purse, ty, default, &Map::new(), 0).map_err(|misfit| misfit.sentence(name))
            }
            (None, None) if ty.is_non_null() => {
                Err(format!("Variable \"${name}\" of required type \"{ty}\" was not provided."))
            }
            (None, None) => Ok(None),
        };
        match coerced {
            Ok(Some(value)) => drop(values.insert(name.to_owned(), value)),
            Ok(None) => {}
            Err(message) => {
                let at = definition.location().and_then(|span| span.line_column(&document.sources));
                errors.push(GraphqlError::new(message).at(at));
            }
        }
    }
    Variables { values, errors }
}

/// Coerces the arguments of a field from literals, coerced variables and defaults.
pub(super) fn arguments(
    schema: &Schema,
    field: &Field,
    variables: &Map<String, Value>,
    limits: &Limits,
) -> Result<Map<String, Value>, GraphqlError> {
    let purse = Purse::new(limits);
    let mut coerced = Map::new();
    for definition in &field.definition.arguments {
        let (name, ty) = (definition.name.as_str(), &*definition.ty);
        let misfit = |misfit: Misfit| {
            let place = if misfit.path.is_empty() { String::new() } else { format!(" at \"{name}{}\"", misfit.path) };
            GraphqlError::new(format!("Argument \"{name}\" has invalid value{place}: {}", misfit.reason))
        };
        let given = match field.specified_argument_by_name(name) {
            Some(value) => literal(schema, &purse, ty, value, variables, 0).map_err(misfit)?,
            None => None,
        };
        let value = match (given, &definition.default_value) {
            (None, Some(default)) => literal(schema, &purse, ty, default, variables, 0).map_err(misfit)?,
            (given, _) => given,
        };
        match value {
            Some(value) => drop(coerced.insert(name.to_owned(), value)),
            None if ty.is_non_null() => {
                let message = format!("Argument \"{name}\" of required type \"{ty}\" was not provided.");
                return Err(GraphqlError::new(message));
            }
            None => {}
        }
    }
    Ok(coerced)
}

/// JSON text that is equal for equal arguments: `serde_json::Map` keeps its keys sorted.
pub(super) fn canonical(arguments: &Map<String, Value>) -> String {
    serde_json::to_string(arguments).expect("a map of JSON values is always JSON")
}

/// Coerces a JSON value.
fn json(schema: &Schema, purse: &Purse, ty: &Type, value: &Value, level: usize) -> Coerced<Value> {
    if level > MAX_NESTING {
        return Err(too_deep());
    }
    if value.is_null() {
        purse.pay(VALUE)?;
        return null(ty);
    }
    if ty.is_list() {
        purse.pay(VALUE + LIST)?;
        let item = ty.item_type();
        return match value {
            Value::Array(values) => values
                .iter()
                .enumerate()
                .map(|(index, value)| json(schema, purse, item, value, level + 1).map_err(|misfit| misfit.index(index)))
                .collect(),
            single => Ok(Value::Array(vec![json(schema, purse, item, single, level + 1)?])),
        };
    }
    let name = ty.inner_named_type().as_str();
    match (ArgumentKind::of(&schema.definitions, name), value) {
        (ArgumentKind::Input, Value::Object(given)) => {
            if let Some(unknown) = given.keys().find(|key| input_field(schema, name, key).is_none()) {
                let unknown = shortened(unknown);
                return Err(Misfit::new(format!("Field \"{unknown}\" is not defined by type \"{name}\".")));
            }
            input_object(schema, purse, name, level, |field, ty| {
                given.get(field).map(|value| json(schema, purse, ty, value, level + 1)).transpose()
            })
        }
        (ArgumentKind::Input, _) => Err(Misfit::new(format!("Expected type \"{name}\" to be an object."))),
        (ArgumentKind::Custom, _) => {
            if nests_deeper(value, MAX_NESTING - level) {
                Err(too_deep())
            } else {
                purse.copy(value)
            }
        }
        (kind, _) => {
            purse.pay(footprint::of_value(value, purse.left.get()))?;
            scalar(schema, kind, name, value)
        }
    }
}

/// Coerces a literal with the variables in it. `None`: it is a variable without a value.
fn literal(
    schema: &Schema,
    purse: &Purse,
    ty: &Type,
    value: &ast::Value,
    variables: &Map<String, Value>,
    level: usize,
) -> Coerced<Option<Value>> {
    if level > MAX_NESTING {
        return Err(too_deep());
    }
    if let ast::Value::Variable(name) = value {
        return match variables.get(name.as_str()) {
            // Its own type may be nullable where it has a default.
            Some(Value::Null) => purse.pay(VALUE).and_then(|()| null(ty)).map(Some),
            given => given.map(|value| purse.copy(value)).transpose(),
        };
    }
    if value.is_null() {
        purse.pay(VALUE)?;
        return null(ty).map(Some);
    }
    if ty.is_list() {
        purse.pay(VALUE + LIST)?;
        let item = ty.item_type();
        let items = value.as_list().map_or_else(
            || literal(schema, purse, item, value, variables, level + 1).map(|single| vec![single]),
            |values| {
                let coerce = |value: &ast::Value| literal(schema, purse, item, value, variables, level + 1);
                let indexed = |(index, value): (usize, &apollo_compiler::Node<ast::Value>)| {
                    coerce(value).map_err(|misfit| misfit.index(index))
                };
                values.iter().enumerate().map(indexed).collect()
            },
        )?;
        let filled = items.into_iter().map(|value| value.map_or_else(|| null(item), Ok));
        return filled.collect::<Coerced<Vec<Value>>>().map(|values| Some(Value::Array(values)));
    }
    let name = ty.inner_named_type().as_str();
    let kind = ArgumentKind::of(&schema.definitions, name);
    if kind == ArgumentKind::Input {
        let given =
            value.as_object().ok_or_else(|| Misfit::new(format!("Expected type \"{name}\" to be an object.")))?;
        return input_object(schema, purse, name, level, |field, ty| {
            match given.iter().find(|(key, _)| key == field) {
                Some((_, value)) => literal(schema, purse, ty, value, variables, level + 1),
                None => Ok(None),
            }
        })
        .map(Some);
    }
    let plain = untyped(purse, value, variables, level)?.unwrap_or(Value::Null);
    match kind {
        ArgumentKind::Custom => Ok(Some(plain)),
        // The digits as they were written: an ID may be longer than any number type.
        ArgumentKind::Id if let ast::Value::Int(digits) = value => {
            purse.pay(footprint::of_string(digits.as_str()))?;
            Ok(Some(Value::from(digits.as_str())))
        }
        kind => scalar(schema, kind, name, &plain).map(Some),
    }
}

/// Builds an input object from what `given` says for each of its fields, filling in defaults.
fn input_object(
    schema: &Schema,
    purse: &Purse,
    name: &str,
    level: usize,
    given: impl Fn(&str, &Type) -> Coerced<Option<Value>>,
) -> Coerced<Value> {
    let Some(ExtendedType::InputObject(definition)) = schema.definitions.types.get(name) else {
        return Err(Misfit::new(format!("\"{name}\" is not an input object.")));
    };
    purse.pay(VALUE + OBJECT)?;
    let mut object = Map::new();
    for (field, definition) in &definition.fields {
        let inside = |misfit: Misfit| misfit.field(field);
        let value = match (given(field, &definition.ty).map_err(inside)?, &definition.default_value) {
            (None, Some(default)) => {
                literal(schema, purse, &definition.ty, default, &Map::new(), level + 1).map_err(inside)?
            }
            (value, _) => value,
        };
        match value {
            Some(value) => {
                purse.pay(footprint::of_member(field))?;
                object.insert(field.to_string(), value);
            }
            None if definition.ty.is_non_null() => {
                let ty = &definition.ty;
                return Err(Misfit::new(format!("Field \"{field}\" of required type \"{ty}\" was not provided.")));
            }
            None => {}
        }
    }
    Ok(Value::Object(object))
}

fn input_field<'a>(schema: &'a Schema, name: &str, field: &str) -> Option<&'a Type> {
    match schema.definitions.types.get(name)? {
        ExtendedType::InputObject(definition) => definition.fields.get(field).map(|field| &*field.ty),
        _ => None,
    }
}

/// Coerces a value of a built-in scalar or an enum.
fn scalar(schema: &Schema, kind: ArgumentKind, name: &str, value: &Value) -> Coerced<Value> {
    let coerced = match (kind, value) {
        (ArgumentKind::String, Value::String(_)) | (ArgumentKind::Boolean, Value::Bool(_)) => Some(value.clone()),
        (ArgumentKind::Id, Value::String(text)) => Some(Value::from(text.as_str())),
        (ArgumentKind::Id, Value::Number(number)) => {
            Exact::read(number.as_str()).and_then(|exact| exact.id()).map(Value::from)
        }
        (ArgumentKind::Int, Value::Number(number)) => int(number).map(Value::from),
        (ArgumentKind::Float, Value::Number(number)) => float(number).map(Value::Number),
        (ArgumentKind::Enum, Value::String(member)) => match schema.definitions.types.get(name) {
            Some(ExtendedType::Enum(definition)) if definition.values.contains_key(member.as_str()) => {
                Some(value.clone())
            }
            _ => None,
        },
        _ => None,
    };
    coerced.ok_or_else(|| {
        Misfit::new(match kind {
            ArgumentKind::Int => "Int cannot represent it: it is not a 32-bit signed integer.".to_owned(),
            ArgumentKind::Float if value.is_number() => {
                "Float cannot represent it: no double holds the number.".to_owned()
            }
            ArgumentKind::Enum => format!("The value is not a member of the enum \"{name}\"."),
            _ => format!("{name} cannot represent a value of this kind."),
        })
    })
}

fn int(number: &Number) -> Option<i32> {
    match Exact::read(number.as_str())? {
        Exact::Int(value) => i32::try_from(value).ok(),
        _ => None,
    }
}

/// A number with a fraction, so that `1` and `1.0` are the same argument. A fraction is rounded to the nearest double, which
/// is what a `Float` is; a whole number that no double holds is refused, since it would be another one.
fn float(number: &Number) -> Option<Number> {
    let text = number.as_str();
    let is_whole = Exact::read(text)?.id().is_some();
    let value = number::double(text).or_else(|| number.as_f64().filter(|_| !is_whole))?;
    Number::from_f64(value)
}

/// A literal as it stands, for scalars of the schema's own.
fn untyped(purse: &Purse, value: &ast::Value, variables: &Map<String, Value>, level: usize) -> Coerced<Option<Value>> {
    if level > MAX_NESTING {
        return Err(too_deep());
    }
    purse.pay(VALUE)?;
    let number = |text: &str| {
        let read = text.parse().ok().filter(|_| number::is_readable(text));
        read.map(Value::Number).ok_or_else(|| Misfit::new("The number is too large.".to_owned()))
    };
    Ok(Some(match value {
        ast::Value::Null => Value::Null,
        ast::Value::Enum(name) => {
            purse.pay(footprint::of_string(name))?;
            Value::from(name.as_str())
        }
        ast::Value::Variable(name) => {
            return variables.get(name.as_str()).map(|value| purse.copy(value)).transpose();
        }
        ast::Value::String(text) => {
            purse.pay(footprint::of_string(text))?;
            Value::from(text.as_str())
        }
        ast::Value::Float(text) => number(text.as_str())?,
        ast::Value::Int(text) => number(text.as_str())?,
        ast::Value::Boolean(value) => Value::from(*value),
        ast::Value::List(values) => {
            purse.pay(LIST)?;
            let item = |value| untyped(purse, value, variables, level + 1).map(Option::unwrap_or_default);
            values.iter().map(|value| item(value)).collect::<Coerced<Vec<Value>>>()?.into()
        }
        ast::Value::Object(fields) => {
            purse.pay(OBJECT)?;
            let mut object = Map::new();
            for (name, value) in fields {
                if let Some(value) = untyped(purse, value, variables, level + 1)? {
                    purse.pay(footprint::of_member(name))?;
                    object.insert(name.to_string(), value);
                }
            }
            Value::Object(object)
        }
    }))
}

fn null(ty: &Type) -> Coerced<Value> {
    if ty.is_non_null() {
        return Err(Misfit::new(format!("Expected non-nullable type \"{ty}\" not to be null.")));
    }
    Ok(Value::Null)
}

fn nests_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(values) => levels == 0 || values.iter().any(|value| nests_deeper(value, levels - 1)),
        Value::Object(fields) => levels == 0 || fields.values().any(|value| nests_deeper(value, levels - 1)),
        _ => false,
    }
}

fn too_deep() -> Misfit {
    Misfit::new(format!("The value is nested deeper than {MAX_NESTING} levels."))
}

impl Misfit {
    fn new(reason: String) -> Self {
        Self { path: String::new(), reason }
    }

    fn field(mut self, name: &str) -> Self {
        self.path = format!(".{name}{}", self.path);
        self
    }

    fn index(mut self, index: usize) -> Self {
        self.path = format!("[{index}]{}", self.path);
        self
    }

    fn sentence(&self, variable: &str) -> String {
        let Self { path, reason } = self;
        if path.is_empty() {
            format!("Variable \"${variable}\" got invalid value; {reason}")
        } else {
            format!("Variable \"${variable}\" got invalid value at \"{variable}{path}\"; {reason}")
        }
    }
}
