//! The filter of a field: its `match` and its `where`, compiled.

use serde_json::{Map, Value};

use super::argument::{Argument, ArgumentKind};
use super::claims::ClaimsRead;
use super::equality::{Demand, Equality};
use super::error::FilterError;
use super::key::{Key, Keys};
use super::operand::Scope;
use super::path::Path;
use super::predicate::Predicate;
use super::verdict::Verdict;
use super::vocabulary::nearest;
use crate::event::Event;
use crate::manifest;

/// Terms of the index: an index keeps those that a subscription restricts in 32 bits. Further equalities are
/// evaluated only.
const MAX_TERMS: usize = 32;

/// Which events of its channel a subscription of a field may see. Compiled once, immutable.
#[derive(Debug)]
pub struct Filter {
    /// Everything that is evaluated without CEL.
    equalities: Vec<Equality>,
    /// Which of them are terms of the index.
    terms: Vec<usize>,
    /// What needs CEL, if anything does.
    predicate: Option<Predicate>,
    claims: ClaimsRead,
}

impl Filter {
    /// Compiles the equalities of `match` and the predicate of `where`. `arguments` are all that the field has.
    pub fn compile(
        matches: &[manifest::Equality],
        predicate: Option<&str>,
        arguments: &[Argument],
    ) -> Result<Self, FilterError> {
        let mut equalities =
            matches.iter().map(|declared| matched(declared, arguments)).collect::<Result<Vec<_>, _>>()?;
        let (mut rest, mut claims) = (None, ClaimsRead::none());
        if let Some(source) = predicate {
            let (predicate, lowering) = Predicate::parse(source, arguments)?;
            equalities.extend(lowering.equalities);
            claims = lowering.claims;
            rest = Some(predicate).filter(|predicate| !predicate.is_empty());
        }
        let terms = (0..equalities.len()).filter(|index| equalities[*index].is_term()).take(MAX_TERMS).collect();
        Ok(Self { equalities, terms, predicate: rest, claims })
    }

    /// What an event must have to be delivered to a subscription with these coerced arguments and claims.
    #[must_use]
    pub fn subscription_keys(&self, arguments: &Map<String, Value>, claims: &Map<String, Value>) -> Keys {
        let scope = Scope { event: None, arguments, claims };
        let fixed = |equality: &&Equality| equality.is_fixed();
        if self.equalities.iter().filter(fixed).any(|equality| equality.holds(&scope) == Ok(false)) {
            return Keys::Never;
        }
        // A failure is not final: it may come from the event that is not there yet, and if not, every event shows it.
        if self.predicate.as_ref().is_some_and(|predicate| predicate.holds(&scope) == Ok(false)) {
            return Keys::Never;
        }
        let mut keys = Vec::with_capacity(self.terms.len());
        for equality in self.equalities.iter().filter(|equality| equality.is_term()) {
            let key = match equality.demand(&scope) {
                Demand::Never => return Keys::Never,
                Demand::Nothing => None,
                Demand::Key(key) => Some(key),
            };
            if keys.len() < self.terms.len() {
                keys.push(key);
            }
        }
        Keys::Terms(keys)
    }

    /// The key that an event has for a term. With `None` it matches no subscription that restricts the term.
    #[must_use]
    pub fn event_key(&self, term: usize, event: &Event) -> Option<Key> {
        self.terms.get(term).and_then(|index| self.equalities[*index].event_key(event))
    }

    /// Whether a subscription with these coerced arguments and claims may see the event: everything that `match` and
    /// `where` say.
    pub fn verdict(&self, event: &Event, arguments: &Map<String, Value>, claims: &Map<String, Value>) -> Verdict {
        let scope = Scope { event: Some(event), arguments, claims };
        let mut failure = None;
        for equality in &self.equalities {
            match equality.holds(&scope) {
                Ok(true) => {}
                Ok(false) => return Verdict::Suppress,
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        match self.predicate.as_ref().map(|predicate| predicate.holds(&scope)) {
            Some(Ok(false)) => return Verdict::Suppress,
            Some(Err(error)) => drop(failure.get_or_insert(error)),
            Some(Ok(true)) | None => {}
        }
        failure.map_or(Verdict::Deliver, Verdict::Failed)
    }

    /// The claims that this filter can read, as text: principals with equal text are one to it. `""` if it reads none.
    #[must_use]
    pub fn claims_read(&self, claims: &Map<String, Value>) -> String {
        self.claims.text(claims)
    }
}

fn matched(declared: &manifest::Equality, arguments: &[Argument]) -> Result<Equality, FilterError> {
    let name = &declared.argument;
    let argument = arguments.iter().find(|argument| argument.name == *name).ok_or_else(|| {
        let known = arguments.iter().map(|argument| argument.name.as_str());
        FilterError::UnknownArgument { argument: name.clone(), nearest: nearest(name, known) }
    })?;
    if argument.kind == ArgumentKind::Other {
        return Err(FilterError::NotComparable { argument: name.clone() });
    }
    let path = Path::parse(&declared.path).map_err(|problem| FilterError::BadPath {
        argument: name.clone(),
        path: declared.path.clone(),
        problem,
    })?;
    Ok(Equality::of_match(argument, path))
}
