//! Puts answers that come in any order back into the order of their questions.

use std::collections::VecDeque;

/// A place in a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket(u64);

/// A queue whose items are reserved in order, filled in any order, and leave in order.
///
/// Bounded by who reserves: each open ticket stands for a job in the sandbox, and those are bounded.
#[derive(Debug)]
pub(super) struct Lane<T> {
    /// Ticket of the front slot.
    first: u64,
    slots: VecDeque<Option<T>>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { first: 0, slots: VecDeque::new() }
    }
}

impl<T> Lane<T> {
    /// Takes the next place.
    pub(super) fn reserve(&mut self) -> Ticket {
        self.slots.push_back(None);
        Ticket(self.first + self.slots.len() as u64 - 1)
    }

    /// Fills a place. A second answer for the same place is ignored.
    pub(super) fn fill(&mut self, ticket: Ticket, answer: T) {
        let slot = ticket.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(slot @ None) = slot.and_then(|index| self.slots.get_mut(index)) {
            *slot = Some(answer);
        }
    }

    /// Whether nothing is reserved.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The front answer, once it is there.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.slots.front()?.is_none() {
            return None;
        }
        self.pop_front()
    }

    /// Removes the front slot if it is not filled; false if it is, or if there is none.
    pub(super) fn skip(&mut self) -> bool {
        let is_open = matches!(self.slots.front(), Some(None));
        if is_open {
            self.pop_front();
        }
        is_open
    }

    fn pop_front(&mut self) -> Option<T> {
        self.first += 1;
        let answer = self.slots.pop_front().flatten();
        if self.slots.is_empty() && self.slots.capacity() > 64 {
            self.slots = VecDeque::new();
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(lane: &mut Lane<u64>) -> Vec<u64> {
        std::iter::from_fn(|| lane.pop()).collect()
    }

    #[test]
    fn an_answer_waits_for_the_one_before_it() {
        let mut lane = Lane::default();
        let (first, second) = (lane.reserve(), lane.reserve());
        lane.fill(second, 2);
        assert_eq!(drain(&mut lane), Vec::<u64>::new());
        lane.fill(first, 1);
        assert_eq!(drain(&mut lane), [1, 2]);
    }

    #[test]
    fn a_second_answer_for_the_same_place_is_ignored() {
        let mut lane = Lane::default();
        let ticket = lane.reserve();
        lane.fill(ticket, 1);
        lane.fill(ticket, 2);
        assert_eq!(drain(&mut lane), [1]);
        lane.fill(ticket, 3);
        assert_eq!(drain(&mut lane), Vec::<u64>::new());
    }

    #[test]
    fn a_slot_that_is_skipped_takes_no_answer_and_holds_nobody_back() {
        let mut lane = Lane::default();
        let (first, second) = (lane.reserve(), lane.reserve());
        lane.fill(second, 2);
        assert!(lane.skip() && !lane.skip());
        lane.fill(first, 1);
        assert_eq!(drain(&mut lane), [2]);
        assert!(!lane.skip());
    }

    proptest! {
        #[test]
        fn answers_leave_in_the_order_of_their_tickets(
            order in (1_usize..50).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle()),
            pop_after in 0_usize..5,
        ) {
            let mut lane = Lane::default();
            let tickets: Vec<_> = order.iter().map(|_| lane.reserve()).collect();
            let mut left = Vec::new();
            for (step, &index) in order.iter().enumerate() {
                lane.fill(tickets[index], index as u64);
                if step % (pop_after + 1) == 0 {
                    left.extend(drain(&mut lane));
                }
            }
            left.extend(drain(&mut lane));
            prop_assert_eq!(left, (0..order.len() as u64).collect::<Vec<_>>());
        }
    }
}
