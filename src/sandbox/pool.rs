//! The instances of one module, and the work that waits for them.
//!
//! A few instances are kept warm. When work waits although all are busy, another one is started, up to the module's
//! limit and the host's; one that has had nothing to do for a while ends. An instance waits for work in its *slot*: a
//! task on the thread that owns it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::bindings::ResolverPre;
use super::call::CallError;
use super::config::{Isolation, Limits};
use super::guest_log::{GuestLog, Output};
use super::held::{Held, Holding};
use super::idle::Slot;
use super::instance::Instance;
use super::metrics::Metrics;
use super::piece::{Done, Piece};
use super::queue::{Batch, Bond, Consequence, Finished, HELP, Queues, Refusal, Running, Switched};
use super::reclaimer::Reclaimer;
use super::room::Room;
use super::state::State;
use super::thread::{Command, Thread};
use super::turnstile::Turnstile;
use super::work::{Help, Next, Relief, Turn, Work};
use crate::outcome::{Failure, Job, Outcome};
use crate::throttle::Throttle;

/// Lines per second and module about calls that were stopped.
const STOPS_PER_SECOND: u32 = 20;
/// For how long work may wait, with all instances busy, before another one is started.
const RELIEF: Duration = HELP;
/// For how long relief waits for a slot that starts, where tenants are isolated: some times of what an instance takes.
const START: Duration = Duration::from_millis(30);

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
    /// Time after which an instance beyond the warm ones ends if it has had no work.
    pub(super) idle: Duration,
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
        // One instance for each thread is kept although there is nothing to do.
        let warm = host.threads.len().min(limits.instances);
        let work = Mutex::new(Work::new(Queues::new(fields, &limits), &limits, warm));
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
        while pool.work.lock().slots < warm && pool.grow() {}
        Ok(pool)
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
        let (help, pushed) = work.submit(field, piece, now);
        drop(work);
        self.give(help);
        match pushed {
            Ok(()) => {}
            Err((piece, Refusal::Full)) => self.shed(piece),
            Err((piece, Refusal::SwitchedOff)) => self.cut(piece),
        }
    }

    fn give(self: &Arc<Self>, help: Help) {
        match help {
            Help::None => {}
            Help::Wake(slot) => self.wake(&slot),
            Help::Relieve => {
                let told = self.calmest_thread().is_some_and(|thread| thread.tell(Command::Relieve(Arc::clone(self))));
                if !told {
                    self.work.lock().relief_failed();
                }
            }
        }
    }

    fn wake(&self, slot: &Slot) {
        slot.wake.notify_one();
        if slot.thread.load().0 > 0 {
            // Whoever computes there is to give way now, and not only at the next tick: that may come milliseconds late
            // where cores are short.
            self.pre.engine().increment_epoch();
        }
    }

    fn calmest_thread(&self) -> Option<&Arc<Thread>> {
        self.host.threads.iter().min_by_key(|thread| thread.load())
    }

    /// Sees to it that what waits is worked on: starts another instance if work still waits after a moment, or wakes a
    /// slot for it. Ends when nothing waits that a slot could do soon.
    pub(super) async fn relieve(self: &Arc<Self>) {
        let mut pause = if self.work.lock().relief_waits(Instant::now()) { RELIEF } else { Duration::ZERO };
        loop {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            pause = RELIEF;
            let mut relief = self.work.lock().relieve(Instant::now());
            if matches!(relief, Relief::Grow) {
                if self.grow() {
                    // An instance of another tenant is not replaced for a tenant whose own one starts.
                    pause = if self.limits.isolation == Isolation::PerTenant { START } else { RELIEF };
                } else {
                    relief = self.work.lock().replace(Instant::now());
                }
            }
            match relief {
                Relief::Over => return,
                Relief::Again | Relief::Grow => {}
                Relief::Wake(slot) => self.wake(&slot),
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
            let Turn { next, expired, help } = self.work.lock().next(slot, bond, Instant::now());
            if matches!(next, Next::Work(_)) || !expired.is_empty() {
                self.host.room.changed();
            }
            self.give(help);
            for piece in expired {
                self.shed(piece);
            }
            match next {
                Next::Work(batch) => return Some(batch),
                Next::End => return None,
                Next::Wait => {}
            }
            if timeout(self.host.idle, slot.wake.notified()).await.is_err() && self.work.lock().may_end(slot) {
                return None;
            }
        }
    }

    /// Answers what has waited for too long. Called now and then, since slots look only when they have nothing to do.
    pub(super) fn sweep(&self) {
        let expired = self.work.lock().queues.sweep(Instant::now());
        // Also if none has expired: a field that does not keep up is not waited for.
        self.host.room.changed();
        for piece in expired {
            self.shed(piece);
        }
    }

    /// A batch has ended.
    pub(super) fn finish(self: &Arc<Self>, running: &Running, outcome: Finished, now: Instant) {
        let (help, Consequence { switched, cut }) = self.work.lock().finish(running, outcome, now);
        self.give(help);
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
    pub(super) fn release(self: &Arc<Self>, bond: &mut Bond) {
        if *bond != Bond::Anyone {
            let help = self.work.lock().release(bond, Instant::now());
            self.give(help);
        }
    }

    /// A slot has ended.
    pub(super) fn leave(self: &Arc<Self>, slot: &Slot, bond: &mut Bond) {
        slot.thread.instances.fetch_sub(1, Ordering::Relaxed);
        let help = self.work.lock().leave(slot, bond, Instant::now());
        self.give(help);
    }

    /// Answers a piece whose field is switched off.
    fn cut(&self, piece: Piece) {
        self.host.metrics.switched_off.inc_by(piece.len() as u64);
        piece.fail(&Failure {
            message: "The resolver of this field is switched off for a moment because it kept failing".to_owned(),
            code: Some("CIRCUIT_OPEN".to_owned()),
            expose: true,
            ..Failure::default()
        });
    }

    /// Answers a piece that there is no room for.
    fn shed(&self, piece: Piece) {
        self.host.metrics.shed.inc_by(piece.len() as u64);
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
            work.close()
        };
        drop(pieces);
        for slot in idle {
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
