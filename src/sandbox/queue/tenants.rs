//! Which tenants have instances, and how many of them work for each. A tenant that has none is not in here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use crate::outcome::Tenant;

/// Whom an instance may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sandbox) enum Bond {
    /// Everyone: its module does not isolate tenants.
    Anyone,
    /// Whoever comes first: it is fresh.
    Free,
    /// This tenant, since then.
    To(Tenant, Instant),
}

#[derive(Debug, Default)]
struct Tally {
    /// Instances bound to the tenant.
    bound: usize,
    /// Of these, those that work now.
    working: usize,
}

/// See the module. Holds one entry per instance at most.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    tallies: HashMap<Tenant, Tally>,
}

impl Tenants {
    /// Whether the tenant has an instance.
    pub(super) fn has_instance(&self, tenant: &Tenant) -> bool {
        self.tallies.contains_key(tenant)
    }

    /// Instances that work for the tenant now.
    pub(super) fn working(&self, tenant: &Tenant) -> usize {
        self.tallies.get(tenant).map_or(0, |tally| tally.working)
    }

    /// The instance with this bond begins to work for the tenant.
    pub(super) fn begin(&mut self, bond: &mut Bond, tenant: &Tenant, now: Instant) {
        match bond {
            Bond::Anyone => return,
            Bond::To(served, _) if served == tenant => {}
            _ => {
                self.release(bond);
                self.tallies.entry(tenant.clone()).or_default().bound += 1;
                *bond = Bond::To(tenant.clone(), now);
            }
        }
        self.tallies.entry(tenant.clone()).or_default().working += 1;
    }

    /// An instance has stopped working for the tenant.
    pub(super) fn end(&mut self, tenant: &Tenant) {
        if let Some(tally) = self.tallies.get_mut(tenant) {
            tally.working = tally.working.saturating_sub(1);
        }
    }

    /// The instance is gone, or fresh.
    pub(super) fn release(&mut self, bond: &mut Bond) {
        let Bond::To(tenant, _) = &*bond else { return };
        if let Entry::Occupied(mut entry) = self.tallies.entry(tenant.clone()) {
            entry.get_mut().bound -= 1;
            if entry.get().bound == 0 {
                entry.remove();
            }
        }
        *bond = Bond::Free;
    }
}
