//! The instances of one module, and the work that waits for them.
//!
//! A few instances are kept warm. When work waits although all are busy, another one is started, up to the module's
//! limit and the host's; one that has had nothing to do for a while ends. An instance waits for work in its *slot*: a
//! task on the thread that owns it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::bindings::ResolverPre;
use super::call::CallError;
use super::config::{Isolation, Limits};
use super::guest_log::{GuestLog, Output};
use super::held::{Held, Holding};
use super::instance::Instance;
use super::metrics::Metrics;
use super::piece::{Done, Piece};
use super::queue::{Batch, Bond, Consequence, Finished, HELP, Queues, Refusal, Running, Switched};
use super::reclaimer::Reclaimer;
use super::room::Room;
use super::state::State;
use super::thread::{Command, Thread};
use super::turnstile::Turnstile;
use super::work::{Idle, Slot, Work};
use crate::outcome::{Failure, Job, Outcome};
use crate::throttle::Throttle;

/// For how long an instance beyond the warm ones waits for work before it ends.
const IDLE: Duration = Duration::from_mins(1);
/// Lines per second and module about calls that were stopped.
const STOPS_PER_SECOND: u32 = 20;
/// For how long work may wait, with all instances busy, before another one is started.
const RELIEF: Duration = HELP;

/// See the module.
pub(super) struct Pool {
    pre: ResolverPre<State>,
    limits: Limits,
    log: Arc<GuestLog>,
    pub(super) host: Host,
    /// One for each thread: where the module's long calls take turns.
    turnstiles: Box<[Arc<Turnstile>]>,
    /// Calls that were stopped, in the log.
    pub(super) stops: Throttle,
    holding: Holding,
    work: Mutex<Work>,
}

/// What all pools of a sandbox share.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) threads: Arc<[Arc<Thread>]>,
    /// One per instance.
    pub(super) permits: Arc<Semaphore>,
    pub(super) room: Arc<Room>,
    pub(super) reclaimer: Reclaimer,
    pub(super) metrics: Metrics,
}

impl Pool {
    /// A pool with its warm instances on the way; one at least is sure.
    pub(super) fn open(
        host: &Host,
        pre: ResolverPre<State>,
        limits: Limits,
        log: Arc<GuestLog>,
        fields: &[Arc<str>],
    ) -> Result<Arc<Self>, Full> {
        let queues = Queues::new(fields, &limits);
        let work = Mutex::new(Work::new(queues));
        let pool = Arc::new(Self {
            pre,
            limits,
            log,
            turnstiles: host.threads.iter().map(|_| Arc::default()).collect(),
            host: host.clone(),
            stops: Throttle::new(STOPS_PER_SECOND),
            holding: Holding::default(),
            work,
        });
        if !pool.grow() {
            return Err(Full);
        }
        while pool.work.lock().slots < pool.warm() && pool.grow() {}
        Ok(pool)
    }

    /// Instances that are kept although there is nothing to do: one for each thread.
    fn warm(&self) -> usize {
        self.host.threads.len().min(self.limits.instances)
    }

    /// Queues a job. Never waits: beyond its bounds the job is answered as overloaded.
    pub(super) fn submit(self: &Arc<Self>, job: Job, done: Done) {
        let (field, now) = (Arc::clone(&job.field), Instant::now());
        if self.limits.isolation == Isolation::PerTenant {
            for piece in Piece::by_tenant(job, done, now) {
                self.submit_piece(&field, piece, now);
            }
        } else {
            self.submit_piece(&field, Piece::whole(job, done, now), now);
        }
    }

    fn submit_piece(self: &Arc<Self>, field: &Arc<str>, piece: Piece, now: Instant) {
        let mut work = self.work.lock();
        if work.closed {
            drop(work);
            return drop(piece);
        }
        if let Err((piece, refusal)) = work.queues.push(field, piece, now) {
            drop(work);
            return match refusal {
                Refusal::Full => self.shed(piece),
                Refusal::SwitchedOff => self.cut(piece),
            };
        }
        self.call_for_help(work);
    }

    /// Wakes an idle slot if there is work that it could take, or sees to it that one is started if none is idle.
    fn call_for_help(self: &Arc<Self>, mut work: MutexGuard<'_, Work>) {
        if !work.queues.has_work() {
            return;
        }
        let next = match self.limits.isolation {
            Isolation::Shared | Isolation::PerCall => work.least_busy(),
            Isolation::PerTenant => work.most_fitting(Instant::now(), self.may_grow(&work)),
        };
        if let Some(place) = next {
            let slot = work.wakes(place);
            drop(work);
            slot.wake.notify_one();
            if slot.thread.load().0 > 0 {
                // Whoever computes there is to give way now, and not only at the next tick: that may come milliseconds
                // late where cores are short.
                self.pre.engine().increment_epoch();
            }
        } else if !work.relief && (self.may_grow(&work) || !work.idle.is_empty()) {
            work.relief = true;
            drop(work);
            if let Some(thread) = self.calmest_thread() {
                thread.tell(Command::Relieve(Arc::clone(self)));
            }
        }
    }

    fn may_grow(&self, work: &Work) -> bool {
        work.slots < self.limits.instances
    }

    fn calmest_thread(&self) -> Option<&Arc<Thread>> {
        self.host.threads.iter().min_by_key(|thread| thread.load())
    }

    /// Starts another instance if work still waits after a moment. A tenant that has no instance is not made to wait.
    pub(super) async fn relieve(self: &Arc<Self>) {
        let per_tenant = self.limits.isolation == Isolation::PerTenant;
        let is_fit = |work: &Work| work.queues.fit(&Bond::Free, Instant::now()).is_some();
        if !per_tenant || !is_fit(&self.work.lock()) {
            tokio::time::sleep(RELIEF).await;
        }
        let needed = {
            let mut work = self.work.lock();
            work.relief = false;
            let wanted = if per_tenant { is_fit(&work) && work.starting == 0 } else { work.idle.is_empty() };
            !work.closed && wanted && work.queues.has_work() && self.may_grow(&work)
        };
        let grown = needed && self.grow();
        if per_tenant && !grown {
            // No room for another one: the instance that nobody has needed for the longest time is replaced.
            let mut work = self.work.lock();
            if let Some(place) = work.most_fitting(Instant::now(), false) {
                let slot = work.wakes(place);
                drop(work);
                slot.wake.notify_one();
            }
        }
    }

    /// Starts another slot on the calmest thread; false if the host has no room for one.
    fn grow(self: &Arc<Self>) -> bool {
        let Ok(permit) = Arc::clone(&self.host.permits).try_acquire_owned() else { return false };
        let Some(thread) = self.calmest_thread() else { return false };
        {
            let mut work = self.work.lock();
            work.slots += 1;
            work.starting += 1;
        }
        thread.instances.fetch_add(1, Ordering::Relaxed);
        let told = thread.tell(Command::Serve(Arc::clone(self), permit));
        if !told {
            let mut work = self.work.lock();
            work.slots -= 1;
            work.starting -= 1;
            thread.instances.fetch_sub(1, Ordering::Relaxed);
        }
        told
    }

    /// A fresh instance, on the thread of this slot.
    pub(super) async fn instance(&self, slot: &Slot) -> Result<Instance, CallError> {
        let place = self.host.threads.iter().position(|thread| Arc::ptr_eq(thread, &slot.thread)).unwrap_or_default();
        let output = Output::new(Arc::clone(&self.log));
        let started = Instance::start(&self.pre, self.limits, output, &self.turnstiles[place]).await?;
        // The first call of an instance is slow; better now than for an event.
        let described = started.describe().await;
        self.host.metrics.instances_started.inc();
        match (described.instance, described.answer) {
            (Some(instance), Ok(_)) => Ok(instance),
            (None, Ok(_)) => Err(CallError::Start("it needs more memory than the module may have".to_owned())),
            (_, Err(error)) => Err(error),
        }
    }

    /// The bond of a slot that has served nobody.
    pub(super) fn first_bond(&self) -> Bond {
        if self.limits.isolation == Isolation::PerTenant { Bond::Free } else { Bond::Anyone }
    }

    /// Whether a slot that has lost its instance should start another one before it has work for it. Not while another
    /// slot is ready: then whoever loses instances all the time pays for new ones with its own calls, on the thread of
    /// those, and leaves the other threads alone.
    pub(super) fn wants_warm(&self) -> bool {
        self.limits.isolation == Isolation::PerCall || !self.work.lock().is_warm()
    }

    /// A slot has its first instance.
    pub(super) fn started(&self) {
        self.work.lock().starting -= 1;
    }

    /// The next batch for a slot; waits for one. `None`: the slot is to end.
    pub(super) async fn next(self: &Arc<Self>, slot: &Arc<Slot>, bond: &mut Bond) -> Option<Batch> {
        loop {
            let expired = {
                let mut work = self.work.lock();
                if work.closed {
                    return None;
                }
                let idle = work.idle.len();
                let taken = work.queues.take(bond, idle, Instant::now());
                if let Some(batch) = taken.batch {
                    self.host.room.changed();
                    if idle > 0 || *bond != Bond::Anyone {
                        self.call_for_help(work);
                    } else {
                        drop(work);
                    }
                    for piece in taken.expired {
                        self.shed(piece);
                    }
                    return Some(batch);
                }
                work.idle.push(Idle { slot: Arc::clone(slot), bond: bond.clone() });
                if *bond != Bond::Anyone {
                    // What was not for this one may be for another one, which nobody has woken yet.
                    self.call_for_help(work);
                }
                taken.expired
            };
            for piece in expired {
                self.shed(piece);
            }
            if timeout(IDLE, slot.wake.notified()).await.is_err() && self.may_end(slot) {
                return None;
            }
        }
    }

    /// Whether an idle slot may end: it was not given work in the meantime, and enough others are left.
    fn may_end(&self, slot: &Arc<Slot>) -> bool {
        let mut work = self.work.lock();
        let place = work.idle.iter().position(|idle| Arc::ptr_eq(&idle.slot, slot));
        if let Some(place) = place {
            work.idle.remove(place);
        }
        place.is_some() && work.slots > self.warm()
    }

    /// A batch has ended.
    pub(super) fn finish(self: &Arc<Self>, running: &Running, outcome: Finished, now: Instant) {
        let Consequence { switched, cut } = self.work.lock().queues.finish(running, outcome, now);
        self.host.room.changed();
        if let Some(switched) = switched {
            self.switched(running, switched);
        }
        for piece in cut {
            self.cut(piece);
        }
    }

    fn switched(&self, running: &Running, switched: Switched) {
        let (module, field) = (self.log.module(), &running.name);
        match switched {
            Switched::Opened(pause) | Switched::StaysOpen(pause) => {
                let first = matches!(switched, Switched::Opened(_));
                self.host.metrics.circuit_opened(module, field, first);
                let pause = humantime::format_duration(pause);
                tracing::warn!(module, %field, %pause, "the calls of this resolver had to be stopped again and again: it is switched off, and tried again after a pause");
            }
            Switched::Closed => {
                self.host.metrics.circuit_closed(module, field);
                tracing::info!(module, %field, "the resolver works again and is switched on");
            }
        }
    }

    /// The slot's instance is gone, or fresh: it is bound to nobody.
    pub(super) fn release(&self, bond: &mut Bond) {
        if *bond != Bond::Anyone {
            self.work.lock().queues.release(bond);
        }
    }

    /// A slot has ended.
    pub(super) fn leave(&self, slot: &Slot, bond: &mut Bond) {
        slot.thread.instances.fetch_sub(1, Ordering::Relaxed);
        let mut work = self.work.lock();
        work.slots -= 1;
        work.queues.release(bond);
    }

    /// Answers a piece whose field is switched off.
    fn cut(&self, piece: Piece) {
        self.host.metrics.switched_off.inc_by(piece.invocations.len() as u64);
        piece.fail(&Failure {
            message: "The resolver of this field is switched off for a moment because it kept failing".to_owned(),
            code: Some("CIRCUIT_OPEN".to_owned()),
            expose: true,
            ..Failure::default()
        });
    }

    /// Answers a piece that there is no room for.
    fn shed(&self, piece: Piece) {
        self.host.metrics.shed.inc_by(piece.invocations.len() as u64);
        piece.fail(&Failure {
            message: "The resolver of this field does not keep up; this event was not resolved".to_owned(),
            code: Some("OVERLOADED".to_owned()),
            expose: true,
            ..Failure::default()
        });
    }

    /// An event was not resolved because the engine has no room for another instance.
    pub(super) fn lacks_room(&self) {
        self.host.metrics.no_room.inc();
        if self.stops.may_write() {
            let module = self.log.module();
            tracing::warn!(
                module,
                "the host has no room for another instance; raise [sandbox] instances, or serve fewer modules"
            );
        }
    }

    /// Counts what is held of these outcomes. Those for which there is no room become failures.
    pub(super) fn hold(&self, outcomes: &mut [Outcome]) -> Held {
        let (held, refused) = self.holding.take(outcomes);
        self.host.metrics.shed.inc_by(refused as u64);
        held
    }

    /// Invocations that publishers should wait for.
    pub(super) fn backlog(&self) -> usize {
        self.work.lock().queues.backlog()
    }

    /// Invocations that wait, and instances that are there.
    pub(super) fn census(&self) -> (usize, usize) {
        let work = self.work.lock();
        (work.queues.waiting(), work.slots)
    }

    /// Ends all slots. What waits is answered with failures.
    pub(super) fn close(&self) {
        let (pieces, idle) = {
            let mut work = self.work.lock();
            if !work.closed {
                for field in work.queues.switched_off() {
                    self.host.metrics.circuit_closed(self.log.module(), field);
                }
            }
            work.closed = true;
            (work.queues.clear(), std::mem::take(&mut work.idle))
        };
        drop(pieces);
        for Idle { slot, .. } in idle {
            slot.wake.notify_one();
        }
        self.host.room.changed();
    }

    /// Limits of each call.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The host has no room for another instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("limits", &self.limits).finish_non_exhaustive()
    }
}
