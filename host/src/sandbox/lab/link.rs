//! Links the contract's interfaces, except `tensors`, to the session.
use crate::sandbox::lab::interface::{Interface, ROW_FUEL, SHORT_ROW, charge, hand_out};
use crate::sandbox::lab::state::{GuestPanic, Reply, State};
use crate::sandbox::lab::tensors;
use crate::sandbox::lab::types::Handle;
use wasmtime::component::{ComponentType, Lower};

/// Defines the whole contract.
///
/// # Errors
/// Two definitions have the same name.
pub fn link(linker: &mut wasmtime::component::Linker<State>) -> Reply<()> {
    tensors::link(&mut Interface(linker.instance("lab:train/tensors@0.2.0")?))?;
    autograd(&mut Interface(linker.instance("lab:train/autograd@0.2.0")?))?;
    state(&mut Interface(linker.instance("lab:train/state@0.2.0")?))?;
    session(&mut Interface(linker.instance("lab:train/session@0.2.0")?))
}

fn autograd(api: &mut Interface<'_>) -> Reply<()> {
    api.define("backward", |cx, (loss, wrt): (Handle, Vec<Handle>)| {
        let state = cx.data_mut();
        let (loss, wrt) = (state.id(&loss)?, state.ids(&wrt)?);
        let gradients = state.session.backward(loss, &wrt)?;
        gradients.into_iter().map(|id| hand_out(cx, id)).collect::<Reply<Vec<_>>>()
    })?;
    api.define("detach", |cx, (x,): (Handle,)| {
        let state = cx.data_mut();
        let x = state.id(&x)?;
        let id = state.session.detach(x)?;
        hand_out(cx, id)
    })?;
    api.define("set-recording", |cx, (on,): (bool,)| Ok(cx.data_mut().session.set_recording(on)))?;
    api.command("begin-checkpoint", |cx, (): ()| Ok(cx.data_mut().session.begin_checkpoint()?))?;
    api.command("end-checkpoint", |cx, (): ()| Ok(cx.data_mut().session.end_checkpoint()?))
}

pub(super) fn state(api: &mut Interface<'_>) -> Reply<()> {
    api.define("parameter", |cx, (name, init): (String, Handle)| {
        let state = cx.data_mut();
        let init = state.id(&init)?;
        let id = state.session.parameter(&name, init)?;
        hand_out(cx, id)
    })?;
    api.define("buffer", |cx, (name, init): (String, Handle)| {
        let state = cx.data_mut();
        let init = state.id(&init)?;
        let id = state.session.buffer(&name, init)?;
        hand_out(cx, id)
    })?;
    api.define("variable", |cx, (init,): (Handle,)| {
        let state = cx.data_mut();
        let init = state.id(&init)?;
        let id = state.session.variable(init)?;
        hand_out(cx, id)
    })?;
    api.define("get", |cx, (name,): (String,)| match cx.data_mut().session.get(&name)? {
        Some(id) => hand_out(cx, id).map(Some),
        None => Ok(None),
    })
}

pub(super) fn session(api: &mut Interface<'_>) -> Reply<()> {
    api.define("task", |cx, (): ()| Ok(cx.data().task))?;
    api.define("next-batch", |cx, (batch, seq): (u32, u32)| {
        charge(cx, short_rows(batch, seq))?;
        let state = cx.data_mut();
        let drawn = state.session.next_batch(batch, seq)?;
        if let Some(on_step) = &mut state.on_step {
            on_step(&state.session)?;
        }
        let Some((tokens, targets)) = drawn else {
            return Ok(None);
        };
        Ok(Some(Batch { tokens: hand_out(cx, tokens)?, targets: hand_out(cx, targets)? }))
    })?;
    api.define("progress", |cx, (): ()| Ok(cx.data().session.progress()))?;
    api.command("log", |cx, (key, value): (String, Handle)| {
        let state = cx.data_mut();
        let value = state.id(&value)?;
        Ok(state.session.log(&key, value)?)
    })?;
    api.command("log-number", |cx, (key, value): (String, f64)| Ok(cx.data_mut().session.log_number(&key, value)?))?;
    api.command("fail", |_, (message,): (String,)| -> Reply<()> { Err(GuestPanic(message).into()) })
}

/// The place of each row is a hash, which costs more than the tokens of a short row. The price of a batch counts tokens
/// alone.
fn short_rows(batch: u32, seq: u32) -> u64 {
    if seq < SHORT_ROW { u64::from(batch) * ROW_FUEL } else { 0 }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Batch {
    tokens: Handle,
    targets: Handle,
}
