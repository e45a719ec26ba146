//! What an operator can set about a `graphql-transport-ws` connection.

use std::time::Duration;

/// Limits and times of a [`super::Connection`]; one value is shared by all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// How long a client may take to send `connection_init`. Default 3 s.
    pub init_timeout: Duration,
    /// How long a client may be silent before it is pinged. Default 12 s, below the idle timeouts of load balancers.
    pub ping_interval: Duration,
    /// How long a pinged client may stay silent before it counts as gone. Default 12 s.
    pub pong_timeout: Duration,
    /// Operations at a time on one connection, those being prepared included. Default 100.
    pub max_operations: usize,
    /// Arrays and objects within each other in one message, the message itself included. Default 64, at most 120.
    pub max_depth: usize,
    /// Memory that variables and extensions of one operation may take, or the payload of `connection_init`: bytes, as
    /// `footprint` counts them. Default 256 KiB.
    pub max_inputs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            init_timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(12),
            pong_timeout: Duration::from_secs(12),
            max_operations: 100,
            max_depth: 64,
            max_inputs: 256 * 1024,
        }
    }
}
