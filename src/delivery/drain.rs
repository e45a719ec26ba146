//! The end of an old generation: until it has delivered what it owes, or its time is up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::inbox::{Inbox, Message};
use super::succession::HandoverNumber;

/// For how long the delivering task may take to give up what is overdue. It has that done within milliseconds.
const GIVING_UP: Duration = Duration::from_secs(10);

/// Outstanding answers of a generation that was replaced.
#[derive(Debug)]
pub struct Drain {
    pub(super) number: HandoverNumber,
    pub(super) drained: oneshot::Receiver<()>,
    pub(super) inbox: Arc<Inbox>,
}

impl Drain {
    /// Waits until all of it is delivered; false if that takes longer. Then those who wait for an answer get an error in
    /// its place, so that nothing of the new generation is held back any longer.
    pub async fn within(mut self, patience: Duration) -> bool {
        // Whether it fires or its sender is gone: nothing is left.
        if timeout(patience, &mut self.drained).await.is_ok() {
            return true;
        }
        self.inbox.put(Message::Overdue(self.number));
        let _ = timeout(GIVING_UP, self.drained).await;
        false
    }
}
