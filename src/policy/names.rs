//! The names of a predicate, and what they read.

use cel::common::ast::{Expr, LiteralValue, operators};
use cel::parser::Expression;
use serde_json::{Number, Value};

use super::argument::Argument;
use super::error::FilterError;
use super::operand::{Envelope, Operand};
use super::path::Path;
use super::vocabulary::{TYPES, nearest};

/// What a predicate can name: `event`, `claims`, and of `args` the arguments of the field.
pub(super) struct Names<'a>(pub(super) &'a [Argument]);

impl Names<'_> {
    /// What a side of an equality is; `None` for what is neither a name nor a literal.
    pub(super) fn side(&self, expression: &Expression) -> Result<Option<Operand>, FilterError> {
        if let Expr::Literal(value) = &expression.expr {
            return Ok(literal(value).map(Operand::Literal));
        }
        self.operand(expression)
    }

    /// What a chain of names reads; `None` for what is no chain of names, and for names of types.
    pub(super) fn operand(&self, expression: &Expression) -> Result<Option<Operand>, FilterError> {
        let Some((root, names)) = chain(expression) else { return Ok(None) };
        match (root, names.split_first()) {
            ("event", Some((&"data", path))) => Ok(Some(Operand::Data(Path::new(path)))),
            ("event", Some((name, rest))) => {
                let member = Envelope::ALL.into_iter().find(|member| member.name() == *name);
                let member = member.ok_or_else(|| unknown_member(name))?;
                if !rest.is_empty() {
                    return Err(FilterError::MemberOfText { member: member.name() });
                }
                Ok(Some(Operand::Envelope(member)))
            }
            ("args", Some((name, path))) => {
                let known = || self.0.iter().map(|argument| argument.name.as_str());
                let argument = self.0.iter().find(|argument| argument.name == *name).ok_or_else(|| {
                    FilterError::NoSuchArgument { name: (*name).to_owned(), nearest: nearest(name, known()) }
                })?;
                Ok(Some(Operand::Argument { name: (*name).into(), kind: argument.kind, path: Path::new(path) }))
            }
            ("claims", _) => Ok(Some(Operand::Claim(Path::new(&names)))),
            ("event", None) => Err(FilterError::Bare { name: "event", example: "event.data.id" }),
            ("args", None) => Err(FilterError::Bare { name: "args", example: "args.id" }),
            (name, None) if TYPES.contains(&name) => Ok(None),
            (name, _) => {
                let nearest = nearest(name, ["event", "args", "claims"].into_iter());
                Err(FilterError::UnknownVariable { name: name.to_owned(), nearest })
            }
        }
    }
}

/// `a.b["c"]` as `a` and `b`, `c`.
fn chain(expression: &Expression) -> Option<(&str, Vec<&str>)> {
    let mut names = Vec::new();
    let mut inner = expression;
    loop {
        match &inner.expr {
            Expr::Ident(root) => {
                names.reverse();
                return Some((root, names));
            }
            Expr::Select(select) => {
                names.push(select.field.as_str());
                inner = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [operand, Expression { expr: Expr::Literal(LiteralValue::String(name)), .. }] = &call.args[..]
                else {
                    return None;
                };
                names.push(name.inner());
                inner = operand;
            }
            _ => return None,
        }
    }
}

/// As JSON; `None` for bytes, which JSON lacks.
fn literal(value: &LiteralValue) -> Option<Value> {
    match value {
        LiteralValue::Boolean(value) => Some(Value::Bool(*value.inner())),
        LiteralValue::Int(value) => Some(Value::from(*value.inner())),
        LiteralValue::UInt(value) => Some(Value::from(*value.inner())),
        LiteralValue::Double(value) => Number::from_f64(*value.inner()).map(Value::Number),
        LiteralValue::String(text) => Some(Value::from(text.inner())),
        LiteralValue::Null => Some(Value::Null),
        LiteralValue::Bytes(_) => None,
    }
}

fn unknown_member(name: &str) -> FilterError {
    let known = Envelope::ALL.into_iter().map(Envelope::name).chain(["data"]);
    // Who writes `event.total` nearly always means the payload's.
    let nearest = nearest(name, known).map_or_else(|| format!("event.data.{name}"), |name| format!("event.{name}"));
    FilterError::UnknownMember { name: name.to_owned(), nearest: Some(nearest) }
}
