//! What of a `where` needs CEL: parsed and checked once, evaluated per event.

use std::fmt;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, operators};
use cel::common::types::CelBool;
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::parser::{Expression, ParseError};
use cel::{Context, Env, ExecutionError};

use super::argument::Argument;
use super::error::FilterError;
use super::functions::{EQUAL, environment};
use super::lower::Lowering;
use super::operand::{Operand, Scope};
use super::value::val;
use super::verdict::EvaluationError;
use crate::text::quoted;

/// Longest predicate. It bounds the parser: a few milliseconds for the worst.
pub(super) const MAX_BYTES: usize = 1024;

/// Bytes of what the parser says about one.
const PROBLEM_BYTES: usize = 300;

/// Operators, names and literals of a predicate. It bounds evaluation, which visits each at most once.
pub(super) const MAX_NODES: usize = 64;

/// An addition counts for so many: it copies what it joins, and the event's texts may be long.
pub(super) const ADDITION: usize = 8;

/// The conjuncts that are no equalities.
pub(super) struct Predicate {
    env: Arc<Env>,
    slots: Vec<Operand>,
    conjuncts: Vec<Expression>,
}

impl Predicate {
    /// Parses a predicate. What is collected beside it stays in `lowering`.
    pub(super) fn parse<'a>(source: &str, arguments: &'a [Argument]) -> Result<(Self, Lowering<'a>), FilterError> {
        if source.len() > MAX_BYTES {
            return Err(FilterError::TooLong { bytes: source.len() });
        }
        let env = environment();
        let program = env.compile(source).map_err(|errors| syntax(source, errors.errors.first()))?;
        let nodes = nodes(program.expression());
        if nodes > MAX_NODES {
            return Err(FilterError::TooComplex { nodes });
        }
        let mut lowering = Lowering::new(arguments);
        lowering.conjuncts(program.expression().clone())?;
        let (slots, conjuncts) = (std::mem::take(&mut lowering.slots), std::mem::take(&mut lowering.conjuncts));
        Ok((Self { env: Arc::new(env), slots, conjuncts }, lowering))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conjuncts.is_empty()
    }

    /// All conjuncts: false if one is false, an error if one fails and none is false.
    ///
    /// Without an event in the scope, what reads it fails. As CEL's `&&` and `||` absorb errors that change nothing, a
    /// false then is a false for every event.
    pub(super) fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        let resolver = Slots { operands: &self.slots, scope };
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.set_variable_resolver(&resolver);
        let mut failure = None;
        for conjunct in &self.conjuncts {
            match cel::Value::resolve_val(conjunct, &context) {
                Ok(value) => match value.downcast_ref::<CelBool>().map(|holds| *holds.inner()) {
                    Some(true) => {}
                    Some(false) => return Ok(false),
                    None => {
                        let found = value.get_type().name().to_owned();
                        failure.get_or_insert(EvaluationError::Unexpected { found, wanted: "bool".to_owned() });
                    }
                },
                Err(error) => drop(failure.get_or_insert_with(|| self.explain(error))),
            }
        }
        failure.map_or(Ok(true), Err)
    }

    fn explain(&self, error: ExecutionError) -> EvaluationError {
        match error {
            ExecutionError::UndeclaredReference(name) => {
                let operand = slot(&name).and_then(|index| self.slots.get(index));
                EvaluationError::Missing(operand.map_or_else(|| name.to_string(), ToString::to_string))
            }
            // The key may come from the event, and values are not for the log.
            ExecutionError::NoSuchKey(_) => EvaluationError::Missing("a member that the predicate reads".to_owned()),
            ExecutionError::NoSuchOverload(error) => {
                let operator = error.function().trim_matches(['_', '@']).to_owned();
                EvaluationError::Types { operator, types: error.argument_types().join(", ") }
            }
            ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
                let operator = match operator {
                    "add" => "+",
                    "sub" => "-",
                    "mul" => "*",
                    "div" => "/",
                    "rem" => "%",
                    other => other,
                };
                let types = format!("{}, {}", type_name(&left), type_name(&right));
                EvaluationError::Types { operator: operator.to_owned(), types }
            }
            ExecutionError::UnexpectedType { got, want } => EvaluationError::Unexpected { found: got, wanted: want },
            ExecutionError::Overflow(..) | ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                EvaluationError::Arithmetic
            }
            ExecutionError::IndexOutOfBounds(_) => EvaluationError::OutOfBounds,
            ExecutionError::FunctionError { function, .. } if function == EQUAL => EvaluationError::NullClaim,
            ExecutionError::FunctionError { function, .. } => EvaluationError::Function(function),
            _ => EvaluationError::Unexpected { found: "a value".to_owned(), wanted: "one of another type".to_owned() },
        }
    }
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Predicate")
            .field("slots", &self.slots)
            .field("conjuncts", &self.conjuncts)
            .finish_non_exhaustive()
    }
}

/// Finds operands by the names that they were given when the predicate was lowered.
struct Slots<'a> {
    operands: &'a [Operand],
    scope: &'a Scope<'a>,
}

impl VariableResolver for Slots<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        self.operands.get(slot(variable)?)?.read(self.scope).map(val)
    }
}

/// In its errors CEL puts null for what is not its own.
fn type_name(value: &cel::Value) -> String {
    match value {
        cel::Value::Null => "null or list or map".to_owned(),
        other => other.type_of().to_string(),
    }
}

/// `@7` is the slot 7.
fn slot(name: &str) -> Option<usize> {
    name.strip_prefix('@')?.parse().ok()
}

fn nodes(root: &Expression) -> usize {
    let (mut count, mut rest) = (0, vec![root]);
    while let Some(expression) = rest.pop() {
        count += 1;
        if matches!(&expression.expr, Expr::Call(call) if call.func_name == operators::ADD) {
            count += ADDITION - 1;
        }
        match &expression.expr {
            Expr::Select(select) => rest.push(&select.operand),
            Expr::Call(call) => rest.extend(call.target.as_deref().into_iter().chain(&call.args)),
            Expr::List(list) => rest.extend(&list.elements),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        rest.extend([&entry.key, &entry.value]);
                    }
                }
            }
            // Messages and comprehensions are refused, whatever their size.
            Expr::Literal(_) | Expr::Ident(_) | Expr::Unspecified | Expr::Struct(_) | Expr::Comprehension(_) => {}
        }
    }
    count
}

/// The parser's first complaint, without the list of everything that it would have liked better.
fn syntax(source: &str, error: Option<&ParseError>) -> FilterError {
    let (line, column) = error.map_or((1, 1), |error| error.pos);
    let position = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
    let message = error.map_or("syntax error", |error| error.msg.as_str());
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let problem = if source.trim().is_empty() {
        "the predicate is empty; leave `where` out".to_owned()
    } else if message.contains("Recursion limit") {
        "the predicate is nested too deeply".to_owned()
    } else if message.contains("input '<EOF>'") {
        "the predicate ends where a value is expected".to_owned()
    } else if let Some((problem, _)) = message.split_once(" expecting {") {
        problem.to_owned()
    } else {
        message.to_owned()
    };
    // It quotes the source, and goes to terminals.
    let problem = quoted(&problem, PROBLEM_BYTES);
    FilterError::Syntax { line: position(line), column: position(column), problem }
}
