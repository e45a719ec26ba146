//! One share of a thread for each module, however many of its calls are long.
//!
//! A call that outlives a tick of the epoch enters the turnstile of its module and thread. Whoever stands in front has
//! the turn; at the next tick it goes to the back, and waits until it is in front again. Calls that are over before the
//! first tick, as nearly all are, never come here. A call that waits for something else than its turn (a guest that
//! sleeps) leaves, and enters anew with its next tick, so that nobody waits for a sleeper.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::turn_clock::TurnClock;
use crate::pace;

/// The long calls of one module on one thread.
#[derive(Debug, Default)]
pub(super) struct Turnstile {
    places: AtomicU64,
    /// Whoever is in front has the turn. One entry per instance at most.
    line: Mutex<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    place: u64,
    /// Unless it has the turn, or has not come to wait for it yet.
    waker: Option<Waker>,
}

/// One instance's place at the turnstile. It is left when it is dropped.
///
/// All of this happens on one thread. The atomics and the lock, which nobody ever waits for, are there because what
/// belongs to a store must be `Send`.
#[derive(Debug)]
pub(super) struct Place {
    turnstile: Arc<Turnstile>,
    number: u64,
    /// Whether it stands in the line.
    inside: AtomicBool,
    /// Whether its call stands still because it gives way, and not for a reason of its own.
    giving_way: AtomicBool,
    turn: TurnClock,
}

impl Turnstile {
    /// A place for an instance; outside the line.
    pub(super) fn place(self: &Arc<Self>) -> Arc<Place> {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        let (inside, giving_way) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Place { turnstile: Arc::clone(self), number, inside, giving_way, turn: TurnClock::default() })
    }
}

impl Place {
    /// Lets the other tasks of the thread go ahead, then passes the turn on, and resolves when it comes back.
    pub(super) async fn give_way(self: Arc<Self>) {
        self.giving_way.store(true, Ordering::Relaxed);
        // To other threads first: those that serve sockets may be waiting for the core.
        pace::pause();
        // Before the turn is passed on: whoever gets it would run at once, and timers and other threads' messages would
        // have to wait. A plain wake-up has that fault; see docs/architecture.md.
        tokio::task::yield_now().await;
        self.go_to_the_back();
        poll_fn(|cx| {
            let mut line = self.turnstile.line.lock();
            match line.front_mut() {
                Some(front) if front.place != self.number => {
                    if let Some(own) = line.iter_mut().find(|entry| entry.place == self.number) {
                        own.waker = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    // It left, so it has no turn to wait for.
                    Poll::Ready(())
                }
                _ => Poll::Ready(()),
            }
        })
        .await;
        self.giving_way.store(false, Ordering::Relaxed);
        self.turn.begin();
    }

    /// CPU time since it last got its turn, where that is known.
    pub(super) fn computed(&self) -> Option<Duration> {
        self.turn.elapsed()
    }

    /// Other calls may have used the thread since: a new call begins, or this one has waited.
    pub(super) fn forget_turn(&self) {
        self.turn.forget();
    }

    /// The call has come to a standstill. Unless it gives way, it waits for something of its own, and must not keep the
    /// turn meanwhile.
    pub(super) fn stands_still(&self) {
        if !self.giving_way.load(Ordering::Relaxed) {
            self.turn.forget();
            self.leave();
        }
    }

    /// The call is over. Costs one look at a flag, unless the call was long.
    pub(super) fn leave(&self) {
        if !self.inside.load(Ordering::Relaxed) {
            return;
        }
        self.inside.store(false, Ordering::Relaxed);
        self.giving_way.store(false, Ordering::Relaxed);
        let mut line = self.turnstile.line.lock();
        line.retain(|entry| entry.place != self.number);
        wake_front(&mut line);
    }

    fn go_to_the_back(&self) {
        self.inside.store(true, Ordering::Relaxed);
        let mut line = self.turnstile.line.lock();
        line.retain(|entry| entry.place != self.number);
        line.push_back(Entry { place: self.number, waker: None });
        wake_front(&mut line);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

fn wake_front(line: &mut VecDeque<Entry>) {
    if let Some(waker) = line.front_mut().and_then(|front| front.waker.take()) {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::Pin;
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::*;

    /// A call that computes for so many ticks, and says at each that it ran.
    async fn call(place: Arc<Place>, name: char, ticks: usize, ran: Rc<RefCell<String>>) {
        for _ in 0..ticks {
            ran.borrow_mut().push(name);
            Arc::clone(&place).give_way().await;
        }
        place.leave();
    }

    #[tokio::test]
    async fn four_calls_of_one_module_have_one_share_beside_another() {
        let (a, b) = (Arc::new(Turnstile::default()), Arc::new(Turnstile::default()));
        let ran = Rc::default();
        let tasks = LocalSet::new();
        for name in ['1', '2', '3', '4'] {
            tasks.spawn_local(call(a.place(), name, 50, Rc::clone(&ran)));
        }
        tasks.spawn_local(call(b.place(), 'B', 100, Rc::clone(&ran)));
        tasks.await;
        let ran = ran.borrow();
        let last = ran.rfind('B').unwrap();
        let others = ran[..last].chars().filter(|name| *name != 'B').count();
        assert!((90..=110).contains(&others), "{others} turns of the others beside 100: {ran}");
        for name in ['1', '2', '3', '4'] {
            let turns = ran[..last].matches(name).count();
            assert!((20..=30).contains(&turns), "{turns} turns of {name}: {ran}");
        }
        assert!(a.line.lock().is_empty() && b.line.lock().is_empty());
    }

    /// Polls a call that gives way, until it has passed the turn on and waits for it.
    async fn begin(call: &mut Pin<Box<impl Future<Output = ()>>>) -> bool {
        for _ in 0..10 {
            if poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await {
                return true;
            }
            tokio::task::yield_now().await;
        }
        false
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_or_sleeps_gives_its_turn_back() {
        let turnstile = Arc::new(Turnstile::default());
        let (first, second) = (turnstile.place(), turnstile.place());
        first.go_to_the_back();
        let mut waiting = Box::pin(Arc::clone(&second).give_way());
        assert!(!begin(&mut waiting).await, "the first has the turn");
        second.stands_still();
        assert_eq!(turnstile.line.lock().len(), 2, "to wait for the turn is not to sleep");
        first.stands_still();
        waiting.await;
        // Dropped in the middle of waiting.
        let mut waiting = Box::pin(Arc::clone(&first).give_way());
        assert!(!begin(&mut waiting).await, "the second has the turn");
        assert_eq!(turnstile.line.lock().len(), 2);
        drop(waiting);
        drop(first);
        assert_eq!(turnstile.line.lock().len(), 1);
        second.leave();
        assert!(turnstile.line.lock().is_empty());
    }
}
