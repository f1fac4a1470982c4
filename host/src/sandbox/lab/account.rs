//! What a guest's calls and its own instructions cost it. Instructions are paid from the budget, beyond those that come
//! with each op.

use crate::sandbox::lab::state::{Reply, State};
use crate::sandbox::place::Place;
use wasmtime::{StoreContextMut, WasmBacktrace};

/// The step that is watched: the first ones may set up what later ones reuse.
const STEP: u64 = 2;

/// Gives the guest the fuel that its limit and its budget allow.
pub fn grant(cx: &mut StoreContextMut<'_, State>) -> Reply<()> {
    let state = cx.data_mut();
    let meter = &mut state.meter;
    let rest = meter.limit.saturating_sub(meter.used);
    let affordable = state.session.affordable_instructions(state.limiter.used()).saturating_sub(meter.used);
    (meter.held, meter.by_budget) = (rest.min(affordable), affordable < rest);
    let held = meter.held;
    cx.set_fuel(held)
}

/// Charges what the guest has used since it was last given fuel, and gives it what it may use next.
pub fn settle(cx: &mut StoreContextMut<'_, State>) -> Reply<()> {
    let left = cx.get_fuel()?;
    let state = cx.data_mut();
    state.meter.used = state.meter.used(left);
    state.meter.held = left.min(state.meter.held);
    let (used, memory) = (state.meter.used, state.limiter.used());
    state.session.charge_instructions(used, memory)?;
    grant(cx)
}

/// Adds what the session has spent since it had spent `before_ps` to the guest's present line.
pub fn note(cx: &mut StoreContextMut<'_, State>, before_ps: u64) {
    let state = cx.data();
    let spent = state.session.spent_ps().saturating_sub(before_ps);
    if spent == 0 || state.lines.is_none() || state.session.steps() != STEP {
        return;
    }
    let place = Place::of(&WasmBacktrace::force_capture(&*cx));
    if let Some(lines) = &mut cx.data_mut().lines {
        lines.add(place.map(|Place { line, function, .. }| (line, function.unwrap_or_default())), spent);
    }
}
