//! Gives back the memory of instances that are done, where no guest waits for it.
//!
//! The kernel takes some 4 ms for 100 MB, in one piece. On a thread that runs guests all calls of the thread would wait for
//! that long.

use std::thread::JoinHandle;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::SPARE_INSTANCES;
use super::instance::Instance;
use crate::supervision::caught;

/// Instances that may wait. Each still has its place in the engine, and others may need the places that are to spare: if
/// there are more, whoever has one to give back does it itself.
const WAITING: usize = SPARE_INSTANCES as usize / 2;
/// Added to the niceness of the thread.
const NICENESS: i32 = 15;
/// With less memory than this beyond what it began with, an instance is not worth the way.
const WORTHWHILE: usize = 8 << 20;

/// See the module. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Reclaimer {
    instances: mpsc::Sender<Instance>,
}

impl Reclaimer {
    /// Starts the thread. It ends after `stopping` fires.
    pub(super) fn start(stopping: CancellationToken) -> std::io::Result<(Self, JoinHandle<()>)> {
        let runtime = Builder::new_current_thread().build()?;
        let (instances, mut inbox) = mpsc::channel(WAITING);
        let handle = std::thread::Builder::new().name("subcast-reclaim".to_owned()).spawn(move || {
            let _ = rustix::process::nice(NICENESS);
            runtime.block_on(async {
                while let Some(Some(instance)) = stopping.run_until_cancelled(inbox.recv()).await {
                    caught("reclaimer", || drop(instance));
                }
            });
        })?;
        Ok((Self { instances }, handle))
    }

    /// Takes an instance that nobody needs any more.
    pub(super) fn take(&self, instance: Instance) {
        if instance.grown() >= WORTHWHILE {
            // If there is no room, the instance comes back and is dropped here.
            drop(self.instances.try_send(instance));
        }
    }
}
