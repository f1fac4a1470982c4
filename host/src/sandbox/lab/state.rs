//! The data of an instance: everything that a guest can reach.

use crate::sandbox::handles::Handles;
use crate::sandbox::lab::lines::Lines;
use crate::sandbox::lab::meter::Meter;
use crate::sandbox::lab::types::Handle;
use crate::sandbox::limiter::Limiter;
use crate::sandbox::wasi::Outside;
use kernels::op::TensorId;
use kernels::session::Session;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lower};

/// The answer to the guest's `task` call.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub struct Task {
    /// Number of different tokens.
    pub vocab: u32,
    /// Evaluation context in tokens.
    pub context: u32,
    /// Rung of the ladder.
    pub scale: f32,
}

/// Called after each batch. An error ends the run.
pub type OnStep = Box<dyn FnMut(&Session) -> wasmtime::Result<()> + Send>;

/// Data of the wasmtime store: everything that one instance can reach.
pub struct State {
    /// The tensor API behind the contract.
    pub session: Session,
    /// The guest's handles.
    pub handles: Handles,
    /// Limits memory.
    pub limiter: Limiter,
    pub task: Task,
    /// Counts the guest's instructions.
    pub meter: Meter,
    /// Costs by line of the source, where they are asked for.
    pub lines: Option<Lines>,
    /// What a guest of another toolchain finds beside the contract.
    pub outside: Outside,
    /// Called at each step.
    pub on_step: Option<OnStep>,
}

/// A panic of the guest, with its message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GuestPanic(pub String);

pub(super) type Context<'a> = StoreContextMut<'a, State>;
pub(super) type Reply<R> = wasmtime::Result<R>;

impl State {
    pub(super) fn id(&self, handle: &Handle) -> Reply<TensorId> {
        Ok(self.handles.get(handle.rep())?)
    }

    pub(super) fn ids(&self, handles: &[Handle]) -> Reply<Vec<TensorId>> {
        handles.iter().map(|handle| self.id(handle)).collect()
    }

    /// The axes to reduce, sorted. An empty list means all axes.
    pub(super) fn axes(&self, x: TensorId, mut axes: Vec<u32>) -> Reply<Vec<u32>> {
        if axes.is_empty() {
            axes = (0..self.session.spec(x)?.shape.rank() as u32).collect();
        }
        axes.sort_unstable();
        Ok(axes)
    }
}
