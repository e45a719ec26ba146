//! A slot at work: takes batches, calls its instance, replaces it when it is spoilt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::call::{CallError, Question, Request};
use super::idle::Slot;
use super::instance::{Instance, Retirement};
use super::piece::Piece;
use super::pool::Pool;
use super::queue::{Batch, Bond, Finished, Running};
use super::thread::{CALL, START, Thread};
use crate::fault;
use crate::outcome::{Outcome, Tenant};
use crate::text::foreign_error;

/// After an instance could not be started, the next try waits this long, unless there is work.
const RETRY_START: Duration = Duration::from_millis(200);

/// Tries to start an instance for a call while the host has no room for one,
const TRIES: usize = 5;
/// and the time between them.
const RETRY_ROOM: Duration = Duration::from_millis(20);

/// Works for the pool until the pool wants no more.
pub(super) async fn serve(pool: &Arc<Pool>, thread: &Arc<Thread>, permit: OwnedSemaphorePermit) {
    let slot = Slot::new(thread);
    let mut seat = Seat { pool, slot: &slot, bond: pool.first_bond(), _permit: permit };
    let mut worker = Worker { pool, slot: &slot, instance: None };
    worker.warm().await;
    pool.started();
    while let Some(batch) = pool.next(&slot, &mut seat.bond).await {
        let busy = thread.busy_with(CALL);
        worker.work(batch).await;
        drop(busy);
        worker.retire();
        slot.is_warm.store(worker.instance.is_some(), Ordering::Relaxed);
        if worker.instance.is_none() {
            pool.release(&mut seat.bond);
            if !pool.wants_warm() {
                continue;
            }
            // Warmed here, before the slot takes more: meanwhile the others serve.
            let _busy = thread.busy_with(START);
            worker.warm().await;
        }
    }
}

/// Given back however the slot ends.
struct Seat<'a> {
    pool: &'a Arc<Pool>,
    slot: &'a Slot,
    bond: Bond,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.pool.leave(self.slot, &mut self.bond);
    }
}

struct Worker<'a> {
    pool: &'a Arc<Pool>,
    slot: &'a Slot,
    instance: Option<Instance>,
}

impl Worker<'_> {
    async fn warm(&mut self) {
        if self.instance.is_none()
            && let Err(error) = self.start().await
        {
            tracing::warn!(error = %foreign_error(&error), "failed to start an instance; trying again");
            tokio::time::sleep(RETRY_START).await;
        }
    }

    async fn start(&mut self) -> Result<(), CallError> {
        if self.instance.is_none() {
            self.instance = Some(self.pool.instance(self.slot).await?);
            self.slot.is_warm.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Starts an instance. Where the host has no room for one, a few tries are made before this time.
    async fn start_by(&mut self, deadline: Instant) -> Result<(), CallError> {
        for _ in 1..TRIES {
            match self.start().await {
                Err(CallError::NoRoom) if Instant::now() + RETRY_ROOM < deadline => {
                    tokio::time::sleep(RETRY_ROOM).await;
                }
                started => return started,
            }
        }
        let started = self.start().await;
        if matches!(started, Err(CallError::NoRoom)) {
            self.pool.lacks_room();
        }
        started
    }

    /// Lets the instance go if its time has come.
    fn retire(&mut self) {
        if let Some(cause) = self.instance.as_ref().and_then(Instance::retires) {
            self.replace(cause);
        }
    }

    fn replace(&mut self, cause: Retirement) {
        self.pool.host.metrics.retired(cause.cause());
        self.instance.take().into_iter().for_each(|instance| self.pool.host.reclaimer.take(instance));
    }

    async fn work(&mut self, batch: Batch) {
        let Batch { pieces, running } = batch;
        let field = Arc::clone(&running.name);
        let running = InHand { pool: self.pool, running: Some(running) };
        for piece in &pieces {
            fault::point("guest", &piece.event.id);
        }
        let began = Instant::now();
        let deadline = began + self.pool.limits().wall;
        let questions: Vec<_> = questions(&pieces).collect();
        let count = questions.len();
        let called = self.call(&field, questions, deadline).await;
        // Before the answers go out: whoever waits for the last of them may look at the queues next.
        let now = Instant::now();
        let finished = match &called {
            Ok(_) => Finished::Well(now - began),
            Err(CallError::NoRoom) => Finished::NotBegun,
            Err(_) => Finished::Stopped,
        };
        let outcomes = match called {
            Ok(outcomes) => outcomes,
            Err(error) if count == 1 || matches!(error, CallError::NoRoom) => {
                vec![Outcome::Failed(error.failure()); count]
            }
            Err(_) => self.one_by_one(&field, &pieces).await,
        };
        running.finish(finished, now);
        let mut outcomes = outcomes.into_iter();
        for piece in pieces {
            let own = piece.len().min(outcomes.len());
            let held = self.pool.hold(&mut outcomes.as_mut_slice()[..own]);
            piece.answer(&mut outcomes, held);
        }
    }

    /// The batch again, one invocation at a time, so that the one which spoilt it fails alone. All within the wall time
    /// of one call: what is not reached by then fails, too.
    async fn one_by_one(&mut self, field: &Arc<str>, pieces: &[Piece]) -> Vec<Outcome> {
        let wall = self.pool.limits().wall;
        let deadline = Instant::now() + wall;
        let mut outcomes = Vec::new();
        for question in questions(pieces) {
            let called = if Instant::now() < deadline {
                self.call(field, vec![question], deadline).await
            } else {
                Err(CallError::Wall(wall))
            };
            let outcome = called.map(|mut outcomes| outcomes.pop());
            outcomes.push(match outcome {
                Ok(Some(outcome)) => outcome,
                Ok(None) => Outcome::Failed(CallError::Contract("no answer".to_owned()).failure()),
                Err(error) => Outcome::Failed(error.failure()),
            });
        }
        outcomes
    }

    async fn call(
        &mut self,
        field: &Arc<str>,
        questions: Vec<Question<'_>>,
        deadline: Instant,
    ) -> Result<Vec<Outcome>, CallError> {
        // Whatever the queue thinks: nobody meets what is not for them.
        let Some(tenant) = same_tenant(&questions) else {
            return Err(CallError::Start("a batch would mix tenants; this is a bug of Subcast".to_owned()));
        };
        if let Some(Err(cause)) = self.instance.as_ref().map(|instance| instance.may_serve(tenant)) {
            self.replace(cause);
        }
        self.start_by(deadline).await?;
        let Some(instance) = self.instance.take() else { return Err(CallError::Start("it is gone".to_owned())) };
        let request = Request { field, questions, deadline };
        let began = Instant::now();
        let called = instance.resolve(&request).await;
        let metrics = &self.pool.host.metrics;
        metrics.call_seconds.observe(began.elapsed().as_secs_f64());
        if let Err(error) = &called.answer {
            metrics.stopped(error.cause());
            if self.pool.stops.may_write() {
                tracing::warn!(%field, error = %foreign_error(error), "a call was stopped; its instance is replaced");
            }
        }
        self.instance = called.instance;
        called.spoilt.into_iter().for_each(|instance| self.pool.host.reclaimer.take(instance));
        called.answer
    }
}

/// A batch that the pool counts as running. However the work ends, the pool is told.
struct InHand<'a> {
    pool: &'a Arc<Pool>,
    running: Option<Running>,
}

impl InHand<'_> {
    fn finish(mut self, finished: Finished, now: Instant) {
        self.end(finished, now);
    }

    fn end(&mut self, finished: Finished, now: Instant) {
        if let Some(running) = self.running.take() {
            self.pool.finish(&running, finished, now);
        }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.end(Finished::Stopped, Instant::now());
    }
}

/// The tenant of all of them; `None` if there are several.
fn same_tenant<'a>(questions: &[Question<'a>]) -> Option<&'a Tenant> {
    let first = &questions.first()?.invocation.tenant;
    questions.iter().all(|question| question.invocation.tenant == *first).then_some(first)
}

fn questions(pieces: &[Piece]) -> impl Iterator<Item = Question<'_>> {
    pieces.iter().flat_map(|piece| piece.invocations().map(|invocation| Question { event: &piece.event, invocation }))
}
