//! The cohorts of one field on one channel, found by the values that an event must have.
//!
//! Each cohort restricts some of the filter's equality terms. Cohorts that restrict the same terms share a table whose
//! key is the tuple of their values; an event makes one look-up per table. The number of tables is the number of
//! distinct sets of restricted terms in use, not the number of cohorts.
//!
//! An entry lives as long as a [`Lease`] of it is out, and nothing else removes it. So a lease always leads to the entry
//! for which it was given, and no cohort can be taken out for another one.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use smallvec::SmallVec;

use super::cohort::Cohort;
use crate::event::Event;
use crate::fault;
use crate::modules::Field;
use crate::policy::{Key, Keys, Verdict};
use crate::principal::Principal;
use crate::sandbox::{Isolation, Module};
use crate::supervision::caught;
use crate::text::{foreign, foreign_error};
use crate::throttle::Throttle;

/// Values of the restricted terms, in the order of the terms.
type Tuple = SmallVec<[Key; 2]>;
/// Cohorts with the same tuple: nearly always one, or (without any restriction) all. Each with the number of its entry.
type Bucket = Vec<(usize, Arc<Cohort>)>;
/// Arguments and access key: what the members of a cohort have in common.
pub(super) type CohortKey = (Arc<str>, Arc<str>);

/// Restricted terms as a bit set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms(u32);

impl Terms {
    fn iter(self) -> impl Iterator<Item = usize> {
        (0..u32::BITS as usize).filter(move |term| self.0 & (1 << term) != 0)
    }
}

#[derive(Debug)]
struct Table {
    terms: Terms,
    buckets: HashMap<Tuple, Bucket>,
}

/// The right of one member to its cohort's entry. Whoever has it gives it back with [`FieldIndex::release`]; it cannot be
/// copied, so an entry is released as often as it was leased.
#[derive(Debug)]
#[must_use]
pub(super) struct Lease(usize);

#[derive(Debug)]
struct Entry {
    cohort: Arc<Cohort>,
    leases: usize,
    /// `None` when no event can ever match.
    filed: Option<Filed>,
}

/// Where an entry stands in the tables.
#[derive(Debug)]
struct Filed {
    restrictions: Restrictions,
    /// Position in the bucket; corrected whenever a neighbour goes.
    at: usize,
}

/// The terms that a cohort restricts, and their values.
pub(super) type Restrictions = (Terms, Tuple);

/// See the module.
#[derive(Debug)]
pub(super) struct FieldIndex {
    pub(super) field: Arc<Field>,
    pub(super) module: Arc<Module>,
    /// By number. Numbers of `None` are in `vacant`.
    entries: Vec<Option<Entry>>,
    vacant: Vec<usize>,
    numbers: HashMap<CohortKey, usize>,
    tables: Vec<Table>,
}

impl FieldIndex {
    pub(super) fn new(field: Arc<Field>, module: Arc<Module>) -> Self {
        let (entries, vacant, numbers, tables) = Default::default();
        Self { field, module, entries, vacant, numbers, tables }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(super) fn cohorts(&self) -> impl Iterator<Item = Arc<Cohort>> {
        self.entries.iter().flatten().map(|entry| Arc::clone(&entry.cohort))
    }

    /// Leases that are out: one for each subscription.
    pub(super) fn subscriptions(&self) -> usize {
        self.entries.iter().flatten().map(|entry| entry.leases).sum()
    }

    /// A lease of the cohort with this key, if there is one.
    pub(super) fn lease(&mut self, key: &CohortKey) -> Option<(Lease, Arc<Cohort>)> {
        let number = *self.numbers.get(key)?;
        let entry = self.entries.get_mut(number)?.as_mut()?;
        entry.leases += 1;
        Some((Lease(number), Arc::clone(&entry.cohort)))
    }

    /// Enters a cohort whose key is not there yet, with its first lease.
    pub(super) fn enter(&mut self, cohort: Arc<Cohort>, restrictions: Option<Restrictions>) -> Lease {
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        let filed = restrictions.map(|restrictions| {
            let (terms, tuple) = &restrictions;
            let bucket = self.table(*terms).buckets.entry(tuple.clone()).or_default();
            bucket.push((number, Arc::clone(&cohort)));
            let at = bucket.len() - 1;
            Filed { restrictions, at }
        });
        self.numbers.insert(key_of(&cohort), number);
        self.entries[number] = Some(Entry { cohort, leases: 1, filed });
        Lease(number)
    }

    /// Takes a lease back; the last one takes the entry with it.
    pub(super) fn release(&mut self, Lease(number): Lease) {
        let Some(slot) = self.entries.get_mut(number) else { return };
        let Some(entry) = slot else { return };
        entry.leases = entry.leases.saturating_sub(1);
        if entry.leases > 0 {
            return;
        }
        let Some(Entry { cohort, filed, .. }) = slot.take() else { return };
        self.vacant.push(number);
        self.numbers.remove(&key_of(&cohort));
        if let Some(filed) = filed {
            self.remove_from_tables(number, filed);
        }
    }

    fn remove_from_tables(&mut self, number: usize, Filed { restrictions: (terms, tuple), at }: Filed) {
        let Some(table_at) = self.tables.iter().position(|table| table.terms == terms) else { return };
        let table = &mut self.tables[table_at];
        if let Slot::Occupied(mut slot) = table.buckets.entry(tuple) {
            let bucket = slot.get_mut();
            if bucket.get(at).is_some_and(|(own, _)| *own == number) {
                bucket.swap_remove(at);
                let moved = bucket.get(at).and_then(|(moved, _)| self.entries.get_mut(*moved));
                if let Some(Some(Entry { filed: Some(filed), .. })) = moved {
                    filed.at = at;
                }
            }
            if bucket.is_empty() {
                slot.remove();
            }
        }
        if table.buckets.is_empty() {
            self.tables.swap_remove(table_at);
        }
    }

    /// The cohorts that may see the event, and how many predicates could not be evaluated.
    pub(super) fn matching(&self, event: &Event, unevaluated: &Throttle) -> (Vec<Arc<Cohort>>, u64) {
        let mut found = Vec::new();
        let mut failed = 0;
        for table in &self.tables {
            let tuple: Option<Tuple> =
                table.terms.iter().map(|term| self.field.filter.event_key(term, event)).collect();
            let Some(bucket) = tuple.and_then(|tuple| table.buckets.get(&tuple)) else { continue };
            for (_, cohort) in bucket {
                let verdict = caught("predicate", || {
                    fault::point("predicate", &event.id);
                    cohort.verdict(event)
                });
                // An error means no delivery, and so does a bug.
                let Some(verdict) = verdict else {
                    failed += 1;
                    continue;
                };
                match verdict {
                    Verdict::Deliver => found.push(Arc::clone(cohort)),
                    Verdict::Suppress => {}
                    Verdict::Failed(error) => {
                        failed += 1;
                        if failed == 1 && unevaluated.may_write() {
                            let Field { name, source, .. } = &*self.field;
                            tracing::warn!(
                                field = %name, resolver = %foreign(source), event = %foreign(&event.id), channel = %foreign(&event.channel),
                                error = %foreign_error(error),
                                "`where` could not be evaluated for this event, so it is withheld; test with has(…) for what may be missing"
                            );
                        }
                    }
                }
            }
        }
        (found, failed)
    }

    fn table(&mut self, terms: Terms) -> &mut Table {
        let slot = self.tables.iter().position(|table| table.terms == terms).unwrap_or_else(|| {
            self.tables.push(Table { terms, buckets: HashMap::new() });
            self.tables.len() - 1
        });
        &mut self.tables[slot]
    }
}

/// What two subscriptions must agree in to share a cohort of the field.
pub(super) fn key(field: &Field, module: &Module, arguments_json: Arc<str>, principal: &Principal) -> CohortKey {
    (arguments_json, access_key(field, principal, module.isolation() == Isolation::PerTenant))
}

fn key_of(cohort: &Cohort) -> CohortKey {
    (Arc::clone(&cohort.arguments_json), Arc::clone(&cohort.access_key))
}

/// What the index can find a cohort by; `None` when no event can ever match. Evaluates what the predicate says without an
/// event, so it may take a while: call it without the channel's lock.
pub(super) fn restrictions(cohort: &Cohort) -> Option<Restrictions> {
    let Cohort { field, arguments, principal, .. } = cohort;
    let Keys::Terms(keys) = field.filter.subscription_keys(arguments, &principal.claims) else { return None };
    let mut terms = Terms(0);
    let mut tuple = Tuple::new();
    for (term, key) in keys.into_iter().enumerate() {
        if let Some(key) = key {
            terms.0 |= 1 << term;
            tuple.push(key);
        }
    }
    Some((terms, tuple))
}

/// Everything about the principal that any decision for the field can see. Two principals with equal keys may share
/// outcomes; the resolver that takes `context` sees subject and claims, so there all of both count.
fn access_key(field: &Field, principal: &Principal, per_tenant: bool) -> Arc<str> {
    let mut key = field.filter.claims_read(&principal.claims);
    if field.context {
        key.push('\n');
        key.push_str(&principal.json);
    }
    if per_tenant {
        // As JSON, so that no tenant's name can pass for none, or for another part of the key.
        let _ = write!(key, "\n{}", Value::from(principal.tenant.as_deref()));
    }
    key.into()
}
