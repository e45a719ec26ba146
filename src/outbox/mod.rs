//! The bounded queue between delivery and one connection.
//!
//! Delivery pushes and never waits; the connection's driver takes whatever is ready and writes it in one go. When the
//! client reads too slowly, one policy decides what happens, and what was dropped is counted and told to the client.
//! The end of an operation is never dropped.

mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::ids::OperationId;
use crate::protocol::FramePrefix;
use queue::Queue;

/// A serialized `ExecutionResult`, shared by all subscriptions that get the same one.
pub type Payload = Arc<str>;

/// How much may wait for one connection, and what happens beyond.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages.
    pub messages: usize,
    /// Bytes of payload, each message counted as if it were not shared.
    pub bytes: usize,
    /// What happens beyond.
    pub policy: SlowConsumer,
}

/// What happens to a client that reads too slowly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlowConsumer {
    /// The connection is closed with 1013; well-made clients come back.
    #[default]
    Close,
    /// The oldest waiting message of the same operation is dropped, and the client is told how many were.
    DropOldest,
    /// All waiting messages of the same operation are dropped in favour of the newest, and the client is told.
    KeepLatest,
}

/// One operation of the connection, as the outbox and the frame know it.
#[derive(Debug)]
pub struct Operation {
    /// The client's id.
    pub id: OperationId,
    /// The frame up to the payload, written once per operation.
    pub prefix: FramePrefix,
}

impl Operation {
    /// An operation with the client's id.
    #[must_use]
    pub fn new(id: OperationId) -> Self {
        let prefix = FramePrefix::new(&id);
        Self { id, prefix }
    }
}

/// What the driver takes out.
#[derive(Clone, Debug)]
pub enum Item {
    /// A result for an operation.
    Next {
        /// Whose.
        operation: Arc<Operation>,
        /// The result.
        payload: Payload,
        /// How many results of this operation were dropped just before this one.
        dropped: u64,
    },
    /// The operation ended by itself.
    Complete {
        /// Which.
        operation: Arc<Operation>,
    },
    /// The operation was ended by an error.
    Error {
        /// Which.
        operation: Arc<Operation>,
        /// A JSON array of GraphQL errors.
        errors: Arc<str>,
    },
}

/// What became of a push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Pushed {
    /// It waits for the driver.
    Queued,
    /// It waits, and this many older ones of the same connection were dropped for it.
    Dropped(u64),
    /// The client is too slow and the policy is to close: nothing was queued, and nothing will be.
    Overflowed,
}

/// The queue of one connection. Shared between delivery and the connection's driver.
#[derive(Debug)]
pub struct Outbox {
    limits: Limits,
    queue: Mutex<Queue>,
    /// Set once, when the policy is to close and the limits were exceeded.
    overflowed: AtomicBool,
    driver: AtomicWaker,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, queue: Mutex::default(), overflowed: AtomicBool::new(false), driver: AtomicWaker::new() }
    }

    /// Queues a result. Never waits.
    pub fn push(&self, operation: &Arc<Operation>, payload: &Payload) -> Pushed {
        if self.overflowed() {
            return Pushed::Overflowed;
        }
        let mut queue = self.queue.lock();
        let was_empty = queue.is_empty();
        let mut dropped = 0;
        if queue.is_full(&self.limits, payload.len()) {
            match self.limits.policy {
                SlowConsumer::Close => {
                    self.overflowed.store(true, Ordering::Release);
                    queue.clear();
                    drop(queue);
                    self.driver.wake();
                    return Pushed::Overflowed;
                }
                SlowConsumer::DropOldest => {
                    dropped = queue.drop_oldest_until_room(operation, &self.limits, payload.len());
                }
                SlowConsumer::KeepLatest => dropped = queue.drop_all_of(operation, &self.limits, payload.len()),
            }
        }
        queue.push_next(operation, payload);
        drop(queue);
        // The driver empties the queue before it sleeps, so only the first message has to wake it.
        if was_empty {
            self.driver.wake();
        }
        if dropped == 0 { Pushed::Queued } else { Pushed::Dropped(dropped) }
    }

    /// Queues the end of an operation that completed by itself, behind what waits for it.
    pub fn complete(&self, operation: &Arc<Operation>) {
        self.push_end(Item::Complete { operation: Arc::clone(operation) });
    }

    /// Queues the end of an operation that failed as a whole. `errors` is a JSON array of GraphQL errors.
    pub fn error(&self, operation: &Arc<Operation>, errors: Arc<str>) {
        self.push_end(Item::Error { operation: Arc::clone(operation), errors });
    }

    fn push_end(&self, item: Item) {
        // Bounded without a check: an operation ends once, and a connection has a bounded number of them.
        self.queue.lock().push_end(item);
        self.driver.wake();
    }

    /// Whether the client was too slow and the policy is to close.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Acquire)
    }

    /// For the driver: ready when something waits or the outbox overflowed; registers for a wake-up otherwise.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.driver.register(cx.waker());
        if self.overflowed() || !self.queue.lock().is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// For the driver: moves up to `most` waiting items to the end of `taken`, in order.
    pub fn take(&self, most: usize, taken: &mut Vec<Item>) {
        self.queue.lock().take(most, taken);
    }

    /// Forgets what waits for an operation that the client ended.
    pub fn forget(&self, operation: &OperationId) {
        self.queue.lock().forget(operation);
    }
}
