//! SIGINT (Ctrl-C) and SIGTERM, which end a command, and SIGHUP, by which a host looks at its files again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

/// Takes both signals from their default action, which ends the process at once.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::failed(format!("failed to listen to signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Resolves when either arrives.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Takes SIGHUP from its default action, which ends the process.
#[derive(Debug)]
pub(super) struct Hangups(Signal);

impl Hangups {
    pub(super) fn listen() -> Result<Self, Failure> {
        let hangup = signal(SignalKind::hangup());
        hangup.map(Self).map_err(|error| Failure::failed(format!("failed to listen to signals: {error}")))
    }

    /// Resolves when one arrives.
    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}
