//! Answers of the sandbox on their way to the delivering task.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::succession::Drained;
use crate::event::Event;
use crate::outcome::Outcome;
use crate::position::Position;
use crate::registry::{Answer, Cohort, Handover, Ticket};
use crate::sandbox::{Held, Module};

/// What a job was for.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) position: Position,
    pub(super) event: Arc<Event>,
    pub(super) module: Arc<Module>,
    /// In the order of the job's invocations.
    pub(super) tickets: Vec<(Arc<Cohort>, Ticket)>,
    pub(super) started: Instant,
}

/// What the delivering task is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A job is answered.
    Resolved(Resolved, Vec<Outcome>, Held),
    /// A large value is projected.
    Projected(Arc<Cohort>, Ticket, Answer),
    /// A generation has taken another one's place: jobs that are answered later may be of either.
    Handover(Handover, Drained),
}

/// Filled by sandbox threads, emptied as a whole by one task. Bounded by the jobs that the sandbox admits, each of which is in
/// here once, and by what it lets them hold.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Vec<Message>>,
    filled: Notify,
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

    /// Waits until there is something, and moves all of it into `batch`, which must be empty.
    pub(super) async fn take(&self, batch: &mut Vec<Message>) {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.is_empty() {
                    std::mem::swap(&mut *waiting, batch);
                    return;
                }
            }
            self.filled.notified().await;
        }
    }
}
