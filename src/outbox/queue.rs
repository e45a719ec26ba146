//! The waiting items of one outbox, with their sizes. Pure; the lock is outside.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Item, Limits, Operation, Payload};
use crate::ids::OperationId;

/// Items in the order in which they will be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Item>,
    /// Bytes of payload in `items`.
    bytes: usize,
    /// Results dropped per operation and not yet told. Empty for nearly every connection; at most one entry per operation.
    untold: Vec<(Arc<Operation>, u64)>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether a payload of `size` bytes has no room. A single payload always fits into an empty queue.
    pub(super) fn is_full(&self, limits: &Limits, size: usize) -> bool {
        !self.items.is_empty() && (self.items.len() >= limits.messages || self.bytes + size > limits.bytes)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn push_next(&mut self, operation: &Arc<Operation>, payload: &Payload) {
        let dropped = if self.untold.is_empty() { 0 } else { self.take_untold(operation) };
        self.bytes += payload.len();
        self.items.push_back(Item::Next { operation: Arc::clone(operation), payload: Arc::clone(payload), dropped });
    }

    pub(super) fn push_end(&mut self, item: Item) {
        self.items.push_back(item);
    }

    pub(super) fn take(&mut self, most: usize, taken: &mut Vec<Item>) {
        let count = most.min(self.items.len());
        for item in self.items.drain(..count) {
            self.bytes -= size(&item);
            taken.push(item);
        }
        // A burst must not leave its memory behind in a connection that is quiet afterwards.
        if self.items.is_empty() && self.items.capacity() > 64 {
            self.items = VecDeque::new();
        }
    }

    /// Drops results, oldest first and those of `operation` before any other's, until `incoming` bytes have room.
    pub(super) fn drop_oldest_until_room(
        &mut self,
        operation: &Arc<Operation>,
        limits: &Limits,
        incoming: usize,
    ) -> u64 {
        let mut dropped = 0;
        while self.is_full(limits, incoming) {
            let own = self.items.iter().position(|item| is_next_of(item, &operation.id));
            let Some(index) = own.or_else(|| self.items.iter().position(|item| matches!(item, Item::Next { .. })))
            else {
                break;
            };
            self.drop_at(index);
            dropped += 1;
        }
        dropped
    }

    /// Drops all results of `operation`, and if that is not enough, the oldest of others.
    pub(super) fn drop_all_of(&mut self, operation: &Arc<Operation>, limits: &Limits, incoming: usize) -> u64 {
        let mut dropped = 0;
        let mut index = 0;
        while index < self.items.len() {
            if is_next_of(&self.items[index], &operation.id) {
                self.drop_at(index);
                dropped += 1;
            } else {
                index += 1;
            }
        }
        dropped + self.drop_oldest_until_room(operation, limits, incoming)
    }

    /// Removes everything that waits for `operation`.
    pub(super) fn forget(&mut self, operation: &OperationId) {
        self.items.retain(|item| {
            let keep = operation_of(item).id != *operation;
            if !keep {
                self.bytes -= size(item);
            }
            keep
        });
        self.untold.retain(|(of, _)| of.id != *operation);
    }

    fn drop_at(&mut self, index: usize) {
        let Some(Item::Next { operation, payload, dropped }) = self.items.remove(index) else { return };
        self.bytes -= payload.len();
        // What the dropped message would have told is told by the next one that survives.
        let count = dropped + 1;
        let survivor = self.items.iter_mut().skip(index).find(|item| is_next_of(item, &operation.id));
        if let Some(Item::Next { dropped, .. }) = survivor {
            *dropped += count;
        } else if let Some((_, untold)) = self.untold.iter_mut().find(|(of, _)| of.id == operation.id) {
            *untold += count;
        } else {
            self.untold.push((operation, count));
        }
    }

    fn take_untold(&mut self, operation: &Arc<Operation>) -> u64 {
        let Some(index) = self.untold.iter().position(|(of, _)| of.id == operation.id) else { return 0 };
        self.untold.swap_remove(index).1
    }
}

fn operation_of(item: &Item) -> &Arc<Operation> {
    match item {
        Item::Next { operation, .. } | Item::Complete { operation } | Item::Error { operation, .. } => operation,
    }
}

fn is_next_of(item: &Item, id: &OperationId) -> bool {
    matches!(item, Item::Next { operation, .. } if operation.id == *id)
}

fn size(item: &Item) -> usize {
    if let Item::Next { payload, .. } = item { payload.len() } else { 0 }
}
