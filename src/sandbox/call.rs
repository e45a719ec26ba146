//! What a slot asks an instance, and why a call can fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use wasmtime::Trap;

use super::config::Limits;
use super::state::{CpuExhausted, Memory};
use crate::event::Event;
use crate::outcome::{Failure, Invocation};

/// One invocation about one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) event: &'a Arc<Event>,
    pub(super) invocation: &'a Invocation,
}

impl Question<'_> {
    /// Whether both are about the same event, and can share its record.
    pub(super) fn same_event(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.event, other.event)
    }
}

/// One call of an instance: invocations of one field's resolver.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) field: &'a Arc<str>,
    /// Those about the same event stand next to each other.
    pub(super) questions: Vec<Question<'a>>,
    /// When the call is cut off, if its wall time does not end before.
    pub(super) deadline: Instant,
}

/// Why a call failed. Each means that the instance is gone.
#[derive(Clone, Debug, Error)]
pub(super) enum CallError {
    /// The CPU time of the call.
    #[error("the resolver used more than its {} of CPU time (`cpu` of its module) and was interrupted", humantime::format_duration(*.0))]
    Cpu(Duration),
    /// The wall time of the call.
    #[error("the resolver took longer than {} (`wall` of its module) and was cut off", humantime::format_duration(*.0))]
    Wall(Duration),
    /// The size of what it returned.
    #[error("the resolver returned more than {0} bytes (`output` of its module)")]
    Output(usize),
    /// The memory of the instance.
    #[error("the resolver needed more than {limit} bytes of memory (`memory` of its module): {trap}")]
    Memory {
        /// The limit.
        limit: usize,
        /// How it ended.
        trap: String,
    },
    /// Anything else that the sandbox stops.
    #[error("the resolver's instance trapped: {0}")]
    Trap(String),
    /// The answer is not what the contract says.
    #[error("the module broke the contract: {0}")]
    Contract(String),
    /// There is no instance, and none could be started.
    #[error("no instance could be started: {0}")]
    Start(String),
}

impl CallError {
    /// What wasmtime's error means.
    pub(super) fn of(error: &wasmtime::Error, memory: &Memory, limits: &Limits) -> Self {
        if error.downcast_ref::<CpuExhausted>().is_some() {
            return Self::Cpu(limits.cpu);
        }
        let trap = error.downcast_ref::<Trap>().map_or_else(|| format!("{error:#}"), ToString::to_string);
        // The error's type is private, so its text is all there is.
        if trap.contains("hostcalls has been exhausted") {
            return Self::Output(limits.output);
        }
        if memory.denied > 0 {
            return Self::Memory { limit: limits.memory, trap };
        }
        Self::Trap(trap)
    }

    /// The label of a metric.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Cpu(_) => "cpu",
            Self::Wall(_) => "wall",
            Self::Output(_) => "output",
            Self::Memory { .. } => "memory",
            Self::Trap(_) => "trap",
            Self::Contract(_) => "contract",
            Self::Start(_) => "start",
        }
    }

    /// As an outcome's failure: for the log, and never for the client.
    pub(super) fn failure(&self) -> Failure {
        Failure { message: self.to_string(), ..Failure::default() }
    }
}
