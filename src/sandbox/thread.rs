//! The threads that run guests. Each is an executor of its own, and owns its instances: no store changes threads, unless to be
//! dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bindings::ResolverPre;
use super::call::CallError;
use super::config::Limits;
use super::guest_log::Output;
use super::instance::Instance;
use super::pool::Pool;
use super::room::Room;
use super::slot;
use super::state::State;
use crate::manifest::Manifest;
use crate::pace;
use crate::supervision::{self, Alarm};

/// Commands that may wait for one thread. There is one per new instance and per loaded module.
const COMMANDS: usize = 1_024;
/// Added to the niceness of these threads: a guest that computes for long must not hold back those who read and write
/// sockets.
const NICENESS: i32 = 4;
/// A call: nobody knows how long it will compute.
pub(super) const CALL: usize = 2;
/// An instance that is being started: it gives way soon.
pub(super) const START: usize = 1;
/// How often queues are looked through for what has waited for too long: so late it may be answered.
const SWEEP: Duration = Duration::from_millis(100);
/// For how long the instances of a thread may take to end on shutdown. No call takes longer than its wall time.
const GRACE: Duration = Duration::from_secs(5);

/// What a thread is told to do.
pub(super) enum Command {
    /// Work for this pool, with an instance of its own, for as long as the pool wants.
    Serve(Arc<Pool>, OwnedSemaphorePermit),
    /// See whether the pool still waits after a moment, and if so, get it another instance.
    Relieve(Arc<Pool>),
    /// Answer what has waited for too long in any pool, for as long as the thread runs.
    Sweep(Arc<Room>),
    /// Start a module once and ask what it is.
    Describe {
        pre: ResolverPre<State>,
        limits: Limits,
        output: Output,
        /// Given back when the instance is gone.
        place: OwnedSemaphorePermit,
        reply: oneshot::Sender<Result<Manifest, CallError>>,
    },
}

/// A handle to one thread.
#[derive(Debug)]
pub(super) struct Thread {
    commands: mpsc::Sender<Command>,
    /// Instances that it owns.
    pub(super) instances: AtomicUsize,
    /// How much is going on there now, in the weights below.
    busy: AtomicUsize,
}

impl Thread {
    /// Starts a thread. It ends after `stopping` fires, when its instances have ended; before that only by a bug, which
    /// raises the alarm.
    pub(super) fn start(
        number: usize,
        stopping: CancellationToken,
        alarm: Alarm,
    ) -> std::io::Result<(Arc<Self>, JoinHandle<()>)> {
        let (commands, mut inbox) = mpsc::channel(COMMANDS);
        let thread = Arc::new(Self { commands, instances: AtomicUsize::new(0), busy: AtomicUsize::new(0) });
        let own = Arc::clone(&thread);
        let handle = std::thread::Builder::new().name(format!("subcast-guest-{number}")).spawn(move || {
            // Of this thread alone, on Linux. Where it is refused, guests are as important as everyone else.
            let _ = rustix::process::nice(NICENESS);
            pace::prompt();
            // A runtime stays on the thread that made it. A guest that loops is polled once per tick; with this interval,
            // other threads' messages are looked at after each poll.
            let mut builder = Builder::new_current_thread();
            match builder.enable_time().global_queue_interval(1).build_local(LocalOptions::default()) {
                Ok(runtime) => alarm.guard_thread("a thread for guests", || {
                    runtime.block_on(run(own, &mut inbox, stopping));
                }),
                Err(error) => alarm.raise(format!("failed to start a thread for guests: {error}")),
            }
        })?;
        Ok((thread, handle))
    }

    /// One that nobody runs.
    #[cfg(test)]
    pub(super) fn absent() -> Arc<Self> {
        let (commands, _) = mpsc::channel(1);
        Arc::new(Self { commands, instances: AtomicUsize::new(0), busy: AtomicUsize::new(0) })
    }

    /// Hands a command over; false if the thread has too many or has ended.
    pub(super) fn tell(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Counts something that is going on, until the guard is dropped.
    pub(super) fn busy_with(&self, weight: usize) -> Busy<'_> {
        self.busy.fetch_add(weight, Ordering::Relaxed);
        Busy { thread: self, weight }
    }

    /// How busy it is: first by what is going on, then by instances.
    pub(super) fn load(&self) -> (usize, usize) {
        (self.busy.load(Ordering::Relaxed), self.instances.load(Ordering::Relaxed))
    }
}

/// Something that is going on on a thread.
pub(super) struct Busy<'a> {
    thread: &'a Thread,
    weight: usize,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.thread.busy.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

/// Runs commands, each as a task of this thread, until the sandbox stops.
async fn run(thread: Arc<Thread>, inbox: &mut mpsc::Receiver<Command>, stopping: CancellationToken) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(ended) = tasks.join_next() => report(ended),
            command = inbox.recv() => match command {
                Some(Command::Serve(pool, permit)) => {
                    let thread = Arc::clone(&thread);
                    tasks.spawn_local(async move { slot::serve(&pool, &thread, permit).await });
                }
                Some(Command::Relieve(pool)) => {
                    tasks.spawn_local(async move { pool.relieve().await });
                }
                Some(Command::Sweep(room)) => {
                    let stopping = stopping.clone();
                    tasks.spawn_local(async move {
                        stopping.run_until_cancelled(sweep(room)).await;
                    });
                }
                Some(Command::Describe { pre, limits, output, place, reply }) => {
                    tasks.spawn_local(async move {
                        let described = match Instance::start(&pre, limits, output, &Arc::default()).await {
                            Ok(instance) => instance.describe().await.answer,
                            Err(error) => Err(error),
                        };
                        drop(place);
                        let _ = reply.send(described);
                    });
                }
                None => break,
            },
        }
    }
    let ended = tokio::time::timeout(GRACE, async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    });
    if ended.await.is_err() {
        tracing::warn!("calls were still running when the sandbox stopped");
    }
}

async fn sweep(room: Arc<Room>) {
    let mut pace = tokio::time::interval(SWEEP);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        room.pools().iter().for_each(|pool| pool.sweep());
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        supervision::report("guest", &*panic);
    }
}
