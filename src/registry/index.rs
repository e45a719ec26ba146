//! The cohorts of one field on one channel, found by the values that an event must have.
//!
//! Each cohort restricts some of the filter's equality terms. Cohorts that restrict the same terms share a table whose
//! key is the tuple of their values; an event makes one look-up per table. The number of tables is the number of
//! distinct sets of restricted terms in use, not the number of cohorts.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};
use smallvec::SmallVec;

use super::cohort::Cohort;
use crate::event::Event;
use crate::modules::Field;
use crate::policy::{Key, Keys, Verdict};
use crate::principal::Principal;
use crate::sandbox::{Isolation, Module};
use crate::throttle::Throttle;

/// Values of the restricted terms, in the order of the terms.
type Tuple = SmallVec<[Key; 2]>;
/// Cohorts with the same tuple: nearly always one, or (without any restriction) all.
type Bucket = Vec<Arc<Cohort>>;

/// Restricted terms as a bit set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Terms(u32);

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

/// See the module.
#[derive(Debug)]
pub(super) struct FieldIndex {
    pub(super) field: Arc<Field>,
    pub(super) module: Arc<Module>,
    /// All cohorts by arguments and access key.
    cohorts: HashMap<(Arc<str>, Arc<str>), Arc<Cohort>>,
    tables: Vec<Table>,
}

impl FieldIndex {
    pub(super) fn new(field: Arc<Field>, module: Arc<Module>) -> Self {
        Self { field, module, cohorts: HashMap::new(), tables: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cohorts.is_empty()
    }

    pub(super) fn cohorts(&self) -> impl Iterator<Item = Arc<Cohort>> {
        self.cohorts.values().cloned()
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.cohorts.values().map(|cohort| cohort.subscriptions()).sum()
    }

    /// The cohort for these arguments and this principal; a new one if there is none yet.
    pub(super) fn cohort(
        &mut self,
        arguments: Map<String, Value>,
        arguments_json: Arc<str>,
        principal: &Arc<Principal>,
    ) -> Arc<Cohort> {
        let per_tenant = self.module.isolation() == Isolation::PerTenant;
        let tenant = principal.tenant.as_ref().filter(|_| per_tenant).cloned();
        let access_key = access_key(&self.field, principal, per_tenant);
        let key = (arguments_json, access_key);
        if let Some(cohort) = self.cohorts.get(&key) {
            return Arc::clone(cohort);
        }
        let keys = self.field.filter.subscription_keys(&arguments, &principal.claims);
        let (arguments_json, access_key) = key.clone();
        let field = Arc::clone(&self.field);
        let cohort = Arc::new(Cohort::new(field, arguments, arguments_json, access_key, Arc::clone(principal), tenant));
        if let Some((terms, tuple)) = restrictions(keys) {
            let bucket = self.table(terms).buckets.entry(tuple).or_default();
            cohort.place.store(bucket.len(), Ordering::Relaxed);
            bucket.push(Arc::clone(&cohort));
        }
        self.cohorts.insert(key, Arc::clone(&cohort));
        cohort
    }

    /// Forgets a cohort that has no members left.
    pub(super) fn remove(&mut self, cohort: &Arc<Cohort>) {
        let key = (Arc::clone(&cohort.arguments_json), Arc::clone(&cohort.access_key));
        if self.cohorts.remove(&key).is_none() {
            return;
        }
        let keys = self.field.filter.subscription_keys(&cohort.arguments, &cohort.principal.claims);
        let Some((terms, tuple)) = restrictions(keys) else { return };
        let Some(slot) = self.tables.iter().position(|table| table.terms == terms) else { return };
        let table = &mut self.tables[slot];
        if let Entry::Occupied(mut entry) = table.buckets.entry(tuple) {
            let bucket = entry.get_mut();
            let place = cohort.place();
            bucket.swap_remove(place);
            if let Some(moved) = bucket.get(place) {
                moved.place.store(place, Ordering::Relaxed);
            }
            if bucket.is_empty() {
                entry.remove();
            }
        }
        if table.buckets.is_empty() {
            self.tables.swap_remove(slot);
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
            for cohort in bucket {
                match cohort.verdict(event) {
                    Verdict::Deliver => found.push(Arc::clone(cohort)),
                    Verdict::Suppress => {}
                    Verdict::Failed(error) => {
                        failed += 1;
                        if failed == 1 && unevaluated.may_write() {
                            let Field { name, source, .. } = &*self.field;
                            tracing::warn!(
                                field = %name, resolver = %source, event = %event.id, channel = %event.channel, %error,
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

/// `None` when no event can ever match.
fn restrictions(keys: Keys) -> Option<(Terms, Tuple)> {
    let Keys::Terms(keys) = keys else { return None };
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
