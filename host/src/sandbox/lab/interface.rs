//! How functions of the contract are defined: their cost in fuel, the conversion from handles to tensors, and the data
//! of an instance.

use crate::sandbox::handles::Handles;
use crate::sandbox::lab::types::{Handle, Lifted};
use crate::sandbox::limiter::Limiter;
use kernels::op::{Op, TensorId};
use kernels::session::Session;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, LinkerInstance, Lower};
use wasmtime::{StoreContextMut, Trap};

/// Fuel per call into the host.
pub const CALL_FUEL: u64 = 16;
/// Fuel per handle.
pub const HANDLE_FUEL: u64 = 16;
/// Rows with fewer tokens than this cost fuel.
pub const SHORT_ROW: u32 = 16;
/// Fuel per short row.
pub const ROW_FUEL: u64 = 16;
/// Largest number of bytes that one call may pass from guest to host.
pub const CALL_BYTES: usize = 64 << 20;
/// Largest number of handles that a guest may hold.
pub const MAX_HANDLES: usize = 200_000;

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
    /// Called at each step.
    pub on_step: Option<OnStep>,
}

/// A panic of the guest, with its message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GuestPanic(pub String);

type Context<'a> = StoreContextMut<'a, State>;
pub(super) type Reply<R> = wasmtime::Result<R>;

/// Takes fuel from the guest. If less than `amount` is left, it takes all of it and traps.
pub(super) fn charge(cx: &mut Context<'_>, amount: u64) -> Reply<()> {
    match cx.get_fuel()?.checked_sub(amount) {
        Some(left) => cx.set_fuel(left),
        None => {
            cx.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}

/// An interface while its functions are being defined.
pub(super) struct Interface<'a>(pub(super) LinkerInstance<'a, State>);

impl Interface<'_> {
    /// Defines a function. The call and its lists are charged before `run` sees them.
    pub(super) fn define<P, R>(
        &mut self,
        name: &str,
        run: impl Fn(&mut Context<'_>, P) -> Reply<R> + Send + Sync + 'static,
    ) -> Reply<()>
    where
        P: ComponentNamedList + Lift + Lifted + 'static,
        R: ComponentType + Lower + 'static,
    {
        self.0.func_wrap(name, move |mut cx: Context<'_>, parameters: P| {
            charge(&mut cx, CALL_FUEL.saturating_add(parameters.fuel()))?;
            Ok((run(&mut cx, parameters)?,))
        })
    }

    /// Defines a function that returns nothing.
    pub(super) fn command<P>(
        &mut self,
        name: &str,
        run: impl Fn(&mut Context<'_>, P) -> Reply<()> + Send + Sync + 'static,
    ) -> Reply<()>
    where
        P: ComponentNamedList + Lift + Lifted + 'static,
    {
        self.0.func_wrap(name, move |mut cx: Context<'_>, parameters: P| {
            charge(&mut cx, CALL_FUEL.saturating_add(parameters.fuel()))?;
            run(&mut cx, parameters)
        })
    }

    /// Defines an operation. Its parameters become an op and operands.
    pub(super) fn op<P>(
        &mut self,
        name: &str,
        op: impl Fn(&mut State, P) -> Reply<(Op, Vec<TensorId>)> + Send + Sync + 'static,
    ) -> Reply<()>
    where
        P: ComponentNamedList + Lift + Lifted + 'static,
    {
        self.define(name, move |cx, parameters: P| {
            let state = cx.data_mut();
            let (op, inputs) = op(state, parameters)?;
            let id = state.session.submit(op, &inputs)?;
            hand_out(cx, id)
        })
    }
}

/// Gives the guest a new handle.
pub(super) fn hand_out(cx: &mut Context<'_>, id: TensorId) -> Reply<Handle> {
    charge(cx, HANDLE_FUEL)?;
    Ok(Handle::new_own(cx.data_mut().handles.push(id)?))
}

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
