//! The instances of one module, and the work that waits for them.
//!
//! A few instances are kept warm. When work waits although all are busy, another one is started, up to the module's
//! limit and the host's; one that has had nothing to do for a while ends. An instance waits for work in its *slot*: a
//! task on the thread that owns it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::bindings::ResolverPre;
use super::call::CallError;
use super::config::Limits;
use super::guest_log::{GuestLog, Output};
use super::instance::Instance;
use super::metrics::Metrics;
use super::piece::{Done, Piece};
use super::queue::{Batch, Finished, Queues, Running};
use super::room::Room;
use super::state::State;
use super::thread::{Command, Thread};
use crate::outcome::{Failure, Job};
use crate::throttle::Throttle;

/// For how long an instance beyond the warm ones waits for work before it ends.
const IDLE: Duration = Duration::from_mins(1);
/// Lines per second and module about calls that were stopped.
const STOPS_PER_SECOND: u32 = 20;
/// For how long work may wait, with all instances busy, before another one is started.
const RELIEF: Duration = Duration::from_millis(3);

/// See the module.
pub(super) struct Pool {
    pre: ResolverPre<State>,
    limits: Limits,
    log: Arc<GuestLog>,
    threads: Arc<[Arc<Thread>]>,
    /// Host-wide: one per instance.
    permits: Arc<Semaphore>,
    room: Arc<Room>,
    pub(super) metrics: Metrics,
    /// Calls that were stopped, in the log.
    pub(super) stops: Throttle,
    work: Mutex<Work>,
}

struct Work {
    queues: Queues,
    /// Slots that wait for work, the one that waits for the shortest time last.
    idle: Vec<Arc<Slot>>,
    slots: usize,
    /// Whether a thread has been told to look after the pool.
    relief: bool,
    closed: bool,
}

/// Where an instance waits for work.
#[derive(Debug)]
pub(super) struct Slot {
    thread: Arc<Thread>,
    wake: Notify,
}

impl Slot {
    pub(super) fn new(thread: &Arc<Thread>) -> Arc<Self> {
        Arc::new(Self { thread: Arc::clone(thread), wake: Notify::new() })
    }
}

/// What all pools of a sandbox share.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) threads: Arc<[Arc<Thread>]>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) room: Arc<Room>,
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
        let Host { threads, permits, room, metrics } = host.clone();
        let queues = Queues::new(fields, limits.instances, limits.cpu);
        let work = Mutex::new(Work { queues, idle: Vec::new(), slots: 0, relief: false, closed: false });
        let pool = Arc::new(Self {
            pre,
            limits,
            log,
            threads,
            permits,
            room,
            metrics,
            stops: Throttle::new(STOPS_PER_SECOND),
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
        self.threads.len().min(self.limits.instances)
    }

    /// Queues a job. Never waits: beyond its bounds the job is answered as overloaded.
    pub(super) fn submit(self: &Arc<Self>, job: Job, done: Done) {
        let field = Arc::clone(&job.field);
        let piece = Piece::whole(job, done, Instant::now());
        let mut work = self.work.lock();
        if work.closed {
            drop(work);
            return drop(piece);
        }
        if let Err(piece) = work.queues.push(&field, piece) {
            drop(work);
            return self.shed(piece);
        }
        self.call_for_help(work);
    }

    /// Wakes an idle slot if there is work that it could take, or sees to it that one is started if none is idle.
    fn call_for_help(self: &Arc<Self>, mut work: parking_lot::MutexGuard<'_, Work>) {
        if !work.queues.has_work() {
            return;
        }
        let least_busy = (0..work.idle.len()).rev().min_by_key(|&place| work.idle[place].thread.load().0);
        if let Some(place) = least_busy {
            let slot = work.idle.remove(place);
            drop(work);
            slot.wake.notify_one();
        } else if !work.relief && work.slots < self.limits.instances {
            work.relief = true;
            drop(work);
            if let Some(thread) = self.calmest_thread() {
                thread.tell(Command::Relieve(Arc::clone(self)));
            }
        }
    }

    fn calmest_thread(&self) -> Option<&Arc<Thread>> {
        self.threads.iter().min_by_key(|thread| thread.load())
    }

    /// Starts another instance if work still waits after a moment.
    pub(super) async fn relieve(self: &Arc<Self>) {
        tokio::time::sleep(RELIEF).await;
        let needed = {
            let mut work = self.work.lock();
            work.relief = false;
            !work.closed && work.idle.is_empty() && work.queues.has_work() && work.slots < self.limits.instances
        };
        if needed {
            self.grow();
        }
    }

    /// Starts another slot on the calmest thread; false if the host has no room for one.
    fn grow(self: &Arc<Self>) -> bool {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { return false };
        let Some(thread) = self.calmest_thread() else { return false };
        self.work.lock().slots += 1;
        thread.instances.fetch_add(1, Ordering::Relaxed);
        let told = thread.tell(Command::Serve(Arc::clone(self), permit));
        if !told {
            self.work.lock().slots -= 1;
            thread.instances.fetch_sub(1, Ordering::Relaxed);
        }
        told
    }

    /// A fresh instance.
    pub(super) async fn instance(&self) -> Result<Instance, CallError> {
        let started = Instance::start(&self.pre, self.limits, Output::new(Arc::clone(&self.log))).await?;
        // The first call of an instance is slow; better now than for an event.
        let described = started.describe().await;
        self.metrics.instances_started.inc();
        match (described.instance, described.answer) {
            (Some(instance), Ok(_)) => Ok(instance),
            (None, Ok(_)) => Err(CallError::Start("it needs more memory than the module may have".to_owned())),
            (_, Err(error)) => Err(error),
        }
    }

    /// The next batch for a slot; waits for one. `None`: the slot is to end.
    pub(super) async fn next(self: &Arc<Self>, slot: &Arc<Slot>) -> Option<Batch> {
        loop {
            let expired = {
                let mut work = self.work.lock();
                if work.closed {
                    return None;
                }
                let idle = work.idle.len();
                let taken = work.queues.take(idle, Instant::now());
                if let Some(batch) = taken.batch {
                    self.room.changed();
                    if idle > 0 {
                        self.call_for_help(work);
                    } else {
                        drop(work);
                    }
                    for piece in taken.expired {
                        self.shed(piece);
                    }
                    return Some(batch);
                }
                work.idle.push(Arc::clone(slot));
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
        let place = work.idle.iter().position(|idle| Arc::ptr_eq(idle, slot));
        if let Some(place) = place {
            work.idle.remove(place);
        }
        place.is_some() && work.slots > self.warm()
    }

    /// A batch has ended.
    pub(super) fn finish(self: &Arc<Self>, running: Running, outcome: Finished) {
        let mut work = self.work.lock();
        work.queues.finish(running, outcome);
        self.room.changed();
    }

    /// A slot has ended.
    pub(super) fn leave(&self, slot: &Slot) {
        slot.thread.instances.fetch_sub(1, Ordering::Relaxed);
        self.work.lock().slots -= 1;
    }

    /// Answers a piece that there is no room for.
    fn shed(&self, piece: Piece) {
        self.metrics.shed.inc_by(piece.invocations.len() as u64);
        piece.fail(&Failure {
            message: "The resolver of this field does not keep up; this event was not resolved".to_owned(),
            code: Some("OVERLOADED".to_owned()),
            expose: true,
            ..Failure::default()
        });
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
            work.closed = true;
            (work.queues.clear(), std::mem::take(&mut work.idle))
        };
        drop(pieces);
        for slot in idle {
            slot.wake.notify_one();
        }
        self.room.changed();
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
