//! Where an event stands in the history of its channel.

/// An epoch (one life of a channel's numbering) and an offset in it. A failover or a restart that loses history starts
/// a new epoch, so that two different events never share a position.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Random per life of the numbering.
    pub epoch: u64,
    /// Rises from event to event within a channel and epoch; 0 stands before the first.
    pub offset: u64,
}
