//! Computing beside the threads that serve sockets: one thread of its own, one piece of work at a time.
//!
//! A connection waits for its piece and does nothing meanwhile, so that there are never more waiting pieces than connections;
//! they are done in the order in which they came. Not the runtime's thread for blocking work: that one belongs to swaps, of
//! which a piece may take as long as a file is large.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};

use crate::pace;

/// A thread for pieces of work that take milliseconds. A cheap handle; the thread ends with the last one.
#[derive(Clone, Debug)]
pub struct Aside {
    /// One permit: whoever has it may hand a piece over.
    turn: Arc<Semaphore>,
    work: SyncSender<Work>,
}

type Work = Box<dyn FnOnce() + Send>;

/// The piece of work panicked. That is a bug of ours; the thread goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("internal error")]
pub struct Panicked;

impl Aside {
    /// Starts the thread, under this name.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let (work, pieces) = sync_channel::<Work>(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            pace::stand_back();
            for piece in pieces {
                piece();
            }
        })?;
        Ok(Self { turn: Arc::new(Semaphore::new(1)), work })
    }

    /// Does this work on the thread, after what others have handed over before. Dropped while it waits for its turn, nothing
    /// is done; dropped later, the result is lost.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return Err(Panicked) };
        let (done, result) = oneshot::channel();
        let piece = move || {
            if let Ok(result) = catch_unwind(AssertUnwindSafe(work)) {
                // Nobody waits for it if its connection has gone.
                let _ = done.send(result);
            } else {
                tracing::error!("work on a thread of its own panicked");
            }
            drop(turn);
        };
        // There is room: the piece before was taken when its turn began, and this one has the turn now.
        self.work.try_send(Box::new(piece)).map_err(|_| Panicked)?;
        result.await.map_err(|_| Panicked)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn pieces_are_done_one_at_a_time_and_in_their_order() {
        let aside = Aside::start("test").unwrap();
        let (began, order) = sync_channel(100);
        let pieces = (0..100).map(|number| {
            let began = began.clone();
            let piece = aside.run(move || began.send(number).unwrap());
            async move { piece.await.unwrap() }
        });
        futures_util::future::join_all(pieces).await;
        assert_eq!(order.try_iter().collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_piece_that_panics_is_told_and_the_next_one_is_done() {
        let aside = Aside::start("test").unwrap();
        assert_eq!(aside.run(|| panic!("a test")).await, Err::<(), _>(Panicked));
        assert_eq!(aside.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_piece_that_nobody_waits_for_any_more_is_left_out() {
        let aside = Aside::start("test").unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let (release, wait) = sync_channel::<()>(1);
        let mut first = Box::pin(aside.run(move || wait.recv_timeout(Duration::from_mins(1)).unwrap()));
        assert!(first.as_mut().poll(&mut context).is_pending());
        let (ran, runs) = sync_channel::<()>(1);
        let mut second = Box::pin(aside.run(move || ran.send(()).unwrap()));
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(second);
        release.send(()).unwrap();
        first.await.unwrap();
        aside.run(|| ()).await.unwrap();
        assert!(runs.try_recv().is_err());
    }
}
