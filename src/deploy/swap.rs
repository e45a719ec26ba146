//! From a version that has been loaded to one that is live, and to the end of the one before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::record::Records;
use super::report::{Ended, Report, bounded, log};
use super::store::StoreError;
use super::{DeployError, Deployer, Permission, beside, milliseconds, with};
use crate::modules::Generation;
use crate::registry::Published;
use crate::sandbox::{Limits, Module, Sandbox};
use crate::text::foreign_error;

/// How much longer the answers of an old version are waited for than its limits let them take. Only a mistake of ours takes
/// longer.
const DRAIN_MARGIN: Duration = Duration::from_secs(30);

impl Deployer {
    /// Publishes a version in place of the live one, `None` for none. `record` is called once it is live. Given up before
    /// that, or when the host stops before that, it changes nothing; afterwards it is completed all the same, and the
    /// `turn` is kept until then.
    pub(super) async fn swap(
        &self,
        turn: OwnedMutexGuard<()>,
        name: &str,
        new: Option<Arc<Module>>,
        permission: Permission,
        began: Instant,
        record: impl FnOnce(&mut Records, Vec<String>) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Report, DeployError> {
        let digest = new.as_ref().map(|new| new.digest().to_owned());
        let mut report = self.report(name, digest);
        let generation = self.registry.generation();
        let (modules, limits, before) =
            (replaced(&generation, name, new), self.config.graphql.clone(), Arc::clone(&generation));
        let (next, widened) = beside(move || {
            let next = before.next(modules, limits)?;
            let widened = bounded(&before.loosened_by(&next));
            Ok::<_, DeployError>((next, widened))
        })
        .await??;
        report.widened = widened;
        if !permission.allow_widening && !report.widened.is_empty() {
            return Err(DeployError::Widening(report.widened));
        }
        report.generation = next.number;
        // What was live so far can be had again, also if its file has been replaced.
        let module = name.to_owned();
        self.with_records(move |records| records.save_live(&module)).await??;

        let preparation = self.registry.prepare(Arc::new(next));
        // With the turn: given up here, the next swap begins when this one has been forgotten.
        let (preparation, turn) = beside(move || {
            preparation.enter_all();
            (preparation, turn)
        })
        .await?;
        let unfit = preparation.unfit();
        if !permission.force && !unfit.is_empty() {
            // Forgetting what was prepared takes as long as preparing it.
            beside(move || drop(preparation)).await?;
            return Err(DeployError::Unfit(unfit));
        }
        if self.stopping.is_cancelled() {
            return Err(DeployError::Stopping);
        }
        let (published, drain) = self.delivery.switch(preparation, permission.force).map_err(DeployError::Unfit)?;
        // From here on the version is live, and that is what everybody is told.
        report.ms.live = milliseconds(began);
        report.moved = published.moved;
        report.ended = published.ended.iter().map(Ended::from).collect();
        let patience = longest_answer(generation.modules().iter().map(|module| module.limits())) + DRAIN_MARGIN;
        drop(generation);
        let (recorded, is_recorded) = oneshot::channel();
        let completion = Completion {
            _turn: turn,
            report: report.clone(),
            began,
            records: Arc::clone(&self.records),
            sandbox: self.sandbox.clone(),
            recorded,
            published,
        };
        let (stopping, dispatch) = (self.stopping.clone(), self.tasks.stopping().clone());
        let drained = async move { dispatch.run_until_cancelled(drain.within(patience)).await.unwrap_or(true) };
        let completed = self.tasks.spawn(completion.run(record, drained));
        tokio::select! {
            completed = completed => Ok(completed.unwrap_or(Report { stored: false, ..report })),
            // A host that stops does not wait for the last answers before it says what has become of the version.
            recorded = async {
                stopping.cancelled().await;
                is_recorded.await
            } => Ok(Report { stored: recorded.unwrap_or(false), ..report }),
        }
    }
}

/// What is left to do once a version is live: to record that, to deliver what the one before owes, and to let it go.
struct Completion {
    /// Until it is done: swaps follow each other.
    _turn: OwnedMutexGuard<()>,
    report: Report,
    began: Instant,
    records: Arc<Mutex<Records>>,
    sandbox: Sandbox,
    /// Told whether the version is on record.
    recorded: oneshot::Sender<bool>,
    published: Published,
}

impl Completion {
    /// `drained` says whether all has been delivered, or nobody is left to be served.
    async fn run(
        self,
        record: impl FnOnce(&mut Records, Vec<String>) -> Result<(), StoreError> + Send + 'static,
        drained: impl Future<Output = bool> + Send,
    ) -> Report {
        let Self { _turn, mut report, began, records, sandbox, recorded, published } = self;
        let widened = report.widened.clone();
        let failed = match with(&records, move |records| record(records, widened)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = failed {
            tracing::error!(module = report.name, error = %foreign_error(&error), "the version is live, but after a restart the one before it will be");
            report.stored = false;
        }
        let _ = recorded.send(report.stored);
        // Versions that a rollback could bring back stay in the cache.
        if let Ok(digests) = with(&records, |records| records.digests()).await {
            sandbox.hold(digests).await;
        }
        if !drained.await {
            tracing::warn!(
                module = report.name,
                "the version before still had answers to come when its time was up; their subscribers got an error"
            );
        }
        // Where the host is gone meanwhile, nobody is left to be forgotten.
        let _ = beside(move || published.finish()).await;
        report.ms.drained = milliseconds(began);
        log(&report);
        report
    }
}

/// The modules with this one in the place of that with its name; at the end if there was none.
fn replaced(generation: &Generation, name: &str, new: Option<Arc<Module>>) -> Vec<Arc<Module>> {
    let mut modules = generation.modules().to_vec();
    let at = modules.iter().position(|module| module.name() == name);
    match (at, new) {
        (Some(at), Some(new)) => modules[at] = new,
        (Some(at), None) => drop(modules.remove(at)),
        (None, Some(new)) => modules.push(new),
        (None, None) => {}
    }
    modules
}

/// For how long after its event an answer may come: it waits in the queue, is resolved, and once more if its batch was
/// stopped.
fn longest_answer(limits: impl Iterator<Item = Limits>) -> Duration {
    limits.map(|limits| limits.patience + 2 * limits.wall).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_version_has_the_time_that_its_limits_give_it() {
        let quick = Limits::default();
        let slow = Limits { wall: Duration::from_mins(1), patience: Duration::from_mins(5), ..quick };
        assert_eq!(longest_answer([quick, slow, quick].into_iter()), Duration::from_mins(7));
        assert_eq!(longest_answer(std::iter::empty()), Duration::ZERO);
    }
}
