//! Answers of the sandbox on their way to the delivering task.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::large::{Large, Spent};
use super::succession::{Drained, HandoverNumber};
use crate::event::Event;
use crate::position::Position;
use crate::registry::{Cohort, Handover, Ticket};
use crate::sandbox::{Module, Part};

/// What a job was for.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) position: Position,
    pub(super) event: Arc<Event>,
    pub(super) module: Arc<Module>,
    /// In the order of the job's invocations.
    pub(super) tickets: Vec<(Arc<Cohort>, Ticket)>,
    pub(super) started: Instant,
    pub(super) spent: Spent,
}

/// What the delivering task is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Some of a job's invocations are answered.
    Resolved(Arc<Resolved>, Part),
    /// A job has ended, and not all of its invocations were answered.
    Lost(Arc<Resolved>),
    /// A large value has had a turn to be projected.
    Projected(Large),
    /// A generation has taken another one's place: jobs that are answered later may be of either.
    Handover(Handover, Drained),
    /// The time for outstanding answers of a handover's old generation is over.
    Overdue(HandoverNumber),
}

impl Message {
    /// The id of the event that it is about, for tests to plant a fault by.
    pub(super) fn event(&self) -> &str {
        match self {
            Self::Resolved(resolved, ..) | Self::Lost(resolved) => &resolved.event.id,
            Self::Projected(_) | Self::Handover(..) | Self::Overdue(_) => "",
        }
    }
}

/// A job's way back from the sandbox. If it is dropped before all invocations are answered, delivery hears of that, so that no
/// lane waits for ever.
#[derive(Debug)]
pub(super) struct WayBack {
    inbox: Arc<Inbox>,
    resolved: Arc<Resolved>,
    /// Invocations.
    answered: AtomicUsize,
}

impl WayBack {
    /// The way back of a job for these cohorts: reserves a place in the lane of each.
    pub(super) fn reserve(inbox: &Arc<Inbox>, mut resolved: Resolved, cohorts: Vec<Arc<Cohort>>) -> Self {
        resolved.tickets.reserve_exact(cohorts.len());
        let mut way = Self { inbox: Arc::clone(inbox), resolved: Arc::new(resolved), answered: AtomicUsize::new(0) };
        // Nobody else has it yet.
        if let Some(resolved) = Arc::get_mut(&mut way.resolved) {
            for cohort in cohorts {
                let ticket = cohort.reserve();
                resolved.tickets.push((cohort, ticket));
            }
        }
        way
    }

    /// Brings some of the answers back.
    pub(super) fn answer(&self, part: Part) {
        self.answered.fetch_add(part.outcomes.len(), Ordering::Relaxed);
        self.inbox.put(Message::Resolved(Arc::clone(&self.resolved), part));
    }
}

impl Drop for WayBack {
    fn drop(&mut self) {
        if *self.answered.get_mut() < self.resolved.tickets.len() {
            self.inbox.put(Message::Lost(Arc::clone(&self.resolved)));
        }
    }
}

/// Messages that may wait before publishers do.
const ROOM: usize = 4_096;
/// No publisher waits for longer.
const LONGEST: Duration = Duration::from_secs(2);

/// Filled by sandbox threads, emptied as a whole by one task. Bounded by what the sandbox lets modules hold, and by
/// publishers, who wait while there is much in here.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Vec<Message>>,
    filled: Notify,
    emptied: Notify,
}

impl Inbox {
    pub(super) fn put(&self, message: Message) {
        let mut waiting = self.waiting.lock();
        waiting.push(message);
        let first = waiting.len() == 1;
        drop(waiting);
        if first {
            self.filled.notify_one();
        }
    }

    /// Whether publishers need not wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.lock().len() < ROOM
    }

    /// Resolves once there is room.
    pub(super) async fn ready(&self) {
        let emptied = self.emptied.notified();
        if !self.has_room() {
            let _ = timeout(LONGEST, emptied).await;
        }
    }

    /// Waits until there is something, and moves all of it into `batch`, which must be empty.
    pub(super) async fn take(&self, batch: &mut Vec<Message>) {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.is_empty() {
                    std::mem::swap(&mut *waiting, batch);
                    drop(waiting);
                    self.emptied.notify_waiters();
                    return;
                }
            }
            self.filled.notified().await;
        }
    }
}
