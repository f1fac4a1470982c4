//! How functions of the contract are defined: their cost in fuel, and the conversion from handles to tensors.

use crate::sandbox::lab::account::{note, settle};
use crate::sandbox::lab::state::{Context, Reply, State};
use crate::sandbox::lab::types::{Handle, Lifted};
use kernels::op::{Op, TensorId};
use wasmtime::Trap;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, LinkerInstance, Lower};

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

/// Takes fuel from the guest. If less than `amount` is left, it takes all of it and traps.
pub fn charge(cx: &mut Context<'_>, amount: u64) -> Reply<()> {
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
            let before_ps = cx.data().session.spent_ps();
            settle(&mut cx)?;
            let result = run(&mut cx, parameters)?;
            settle(&mut cx)?;
            note(&mut cx, before_ps);
            Ok((result,))
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
            let before_ps = cx.data().session.spent_ps();
            settle(&mut cx)?;
            run(&mut cx, parameters)?;
            settle(&mut cx)?;
            note(&mut cx, before_ps);
            Ok(())
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
