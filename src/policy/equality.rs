//! Two values that must be equal: evaluated without CEL, and the source of index keys.

use super::argument::{Argument, ArgumentKind};
use super::key::Key;
use super::operand::{Operand, Scope};
use super::path::Path;
use super::verdict::EvaluationError;
use crate::event::Event;

/// A top-level equality of a filter.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Equality {
    /// What the event has, if exactly one side is of the event.
    left: Operand,
    right: Operand,
    comparison: Comparison,
    absence: Absence,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Value,
    Id,
}

/// What null and missing values mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Absence {
    /// `match`: without the argument it holds; without the event's value it does not.
    Unrestricted,
    /// With claims: it does not hold, whichever side it is.
    Unequal,
    /// CEL's rule: null equals null, and what is missing is an error.
    Cel,
}

/// What a subscription demands of the event's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Demand {
    /// No value fulfils it.
    Never,
    /// Nothing that could be said by a key.
    Nothing,
    /// A value with this key.
    Key(Key),
}

impl Equality {
    /// An argument with a value of the event, as `match` declares it.
    pub(super) fn of_match(argument: &Argument, path: Path) -> Self {
        let right =
            Operand::Argument { name: argument.name.as_str().into(), kind: argument.kind, path: Path::default() };
        let comparison = if argument.kind == ArgumentKind::Id { Comparison::Id } else { Comparison::Value };
        Self { left: Operand::Data(path), right, comparison, absence: Absence::Unrestricted }
    }

    /// The two sides of `==` in a `where`, in any order.
    pub(super) fn of_where(left: Operand, right: Operand) -> Self {
        let comparison = if left.is_id() || right.is_id() { Comparison::Id } else { Comparison::Value };
        let absence = if left.reads_claims() || right.reads_claims() { Absence::Unequal } else { Absence::Cel };
        let (left, right) = if right.reads_event() { (right, left) } else { (left, right) };
        Self { left, right, comparison, absence }
    }

    /// Whether it can be a term of the index: one side is of the event, the other of the subscription.
    pub(super) fn is_term(&self) -> bool {
        self.left.reads_event() && !self.right.reads_event()
    }

    /// Whether it is settled when somebody subscribes.
    pub(super) fn is_fixed(&self) -> bool {
        !self.left.reads_event()
    }

    pub(super) fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        let (left, right) = (self.left.read(scope), self.right.read(scope));
        let missing = |operand: &Operand| EvaluationError::Missing(operand.to_string());
        let (left, right) = match (self.absence, left, right) {
            (Absence::Unrestricted, _, Some(argument)) if argument.is_null() => return Ok(true),
            (Absence::Unrestricted | Absence::Unequal, Some(left), Some(right)) => {
                if left.is_null() || right.is_null() {
                    return Ok(false);
                }
                (left, right)
            }
            (Absence::Unrestricted | Absence::Unequal, _, _) => return Ok(false),
            (Absence::Cel, Some(left), Some(right)) => (left, right),
            (Absence::Cel, None, _) => return Err(missing(&self.left)),
            (Absence::Cel, _, None) => return Err(missing(&self.right)),
        };
        Ok(match self.comparison {
            Comparison::Value => left.equals(right),
            Comparison::Id => left.equals_as_id(right),
        })
    }

    /// What the subscription demands. Only for terms.
    pub(super) fn demand(&self, scope: &Scope<'_>) -> Demand {
        let Some(datum) = self.right.read(scope) else {
            return if self.absence == Absence::Cel { Demand::Nothing } else { Demand::Never };
        };
        let literal = matches!(self.right, Operand::Literal(_));
        match (self.absence, self.comparison) {
            (Absence::Unequal, _) if datum.is_null() => Demand::Never,
            // By CEL's rule a null argument asks for a null of the event; that is rare enough to leave it to evaluation.
            _ if datum.is_null() && !literal => Demand::Nothing,
            (_, Comparison::Id) => datum.id_key().map_or(Demand::Never, Demand::Key),
            (_, Comparison::Value) => datum.key().map_or(Demand::Nothing, Demand::Key),
        }
    }

    /// The key of the event's value; `None` if no demand for a key is fulfilled.
    pub(super) fn event_key(&self, event: &Event) -> Option<Key> {
        let datum = self.left.read_event(event)?;
        match self.comparison {
            Comparison::Value => datum.key(),
            Comparison::Id => datum.id_key(),
        }
    }
}
