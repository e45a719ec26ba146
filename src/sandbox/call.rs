//! What a slot asks an instance, and why a call can fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use wasmtime::{PoolConcurrencyLimitError, Trap};

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
    /// There is no instance, and the host has no room for another one. Not the module's fault.
    #[error("the host has no room for another instance at the moment")]
    NoRoom,
}

impl CallError {
    /// What wasmtime's error means.
    pub(super) fn of(error: &wasmtime::Error, memory: &Memory, limits: &Limits) -> Self {
        if error.downcast_ref::<CpuExhausted>().is_some() {
            return Self::Cpu(limits.cpu);
        }
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Self::NoRoom;
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
            Self::NoRoom => "no_room",
        }
    }

    /// As an outcome's failure: for the log, and never for the client, unless it is the host's own.
    pub(super) fn failure(&self) -> Failure {
        if matches!(self, Self::NoRoom) {
            return Failure {
                message:
                    "The host has no room to run the resolver of this field at the moment; this event was not resolved"
                        .to_owned(),
                code: Some("OVERLOADED".to_owned()),
                expose: true,
                ..Failure::default()
            };
        }
        Failure { message: self.to_string(), ..Failure::default() }
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Config, Engine, Instance, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Store};

    use super::*;

    #[test]
    fn a_full_engine_is_the_hosts_and_not_a_trap_of_the_module() {
        let mut pooling = PoolingAllocationConfig::new();
        pooling.total_core_instances(4).total_memories(1).total_tables(1).total_stacks(1).max_memory_size(1 << 16);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
        config.memory_reservation(1 << 16);
        let engine = Engine::new(&config).unwrap();
        // A memory of one page.
        let module = Module::new(&engine, b"\0asm\x01\0\0\0\x05\x03\x01\0\x01").unwrap();
        let mut stores = [(); 2].map(|()| Store::new(&engine, ()));
        Instance::new(&mut stores[0], &module, &[]).unwrap();
        let full = Instance::new(&mut stores[1], &module, &[]).map(drop).unwrap_err();
        let mut memory = Memory::of(1 << 20);
        memory.denied = 1;
        let error = CallError::of(&full.context("instantiating"), &memory, &Limits::default());
        assert!(matches!(error, CallError::NoRoom), "{error:?}");
        let failure = error.failure();
        assert!(failure.expose && failure.message.contains("host has no room"), "{failure:?}");
        assert_eq!(failure.code.as_deref(), Some("OVERLOADED"));
    }
}
