//! The host's side of the contract `lab:train@0.2.0`: each function of the WIT is one line of a table below, and maps
//! to one call of the session. Charges fuel for what the guest makes the host lift or hold; every fault traps.
//!
//! Fuel: [`CALL_FUEL`] per call, 1 per 4 bytes of a list (rounded up), 1 per byte of text, [`HANDLE_FUEL`] per handle.
//! The price of the operations themselves is on the other ledger, in the session.

mod tensors;
mod types;

use super::handles::Handles;
use super::limiter::Limiter;
use kernels::op::{Op, TensorId};
use kernels::session::Session;
use types::Lifted;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource};
use wasmtime::{StoreContextMut, Trap};

/// Fuel of a call into the host.
pub const CALL_FUEL: u64 = 16;
/// Fuel of a handle.
pub const HANDLE_FUEL: u64 = 16;
/// Most bytes that one call may carry from guest to host.
pub const CALL_BYTES: usize = 64 << 20;
/// Most handles of a guest at once.
pub const MAX_HANDLES: usize = 200_000;

/// The type of the guest's handles; [`State::handles`] has the tensors that they stand for.
#[derive(Debug)]
pub struct Tensor;

/// The reply to `task`.
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

/// Called after each batch; an error ends the run.
pub type OnStep = Box<dyn FnMut(&Session) -> wasmtime::Result<()> + Send>;

/// The store's data: all that one instance can reach.
pub struct State {
    /// The tensor API behind the contract.
    pub session: Session,
    /// The guest's handles.
    pub handles: Handles,
    /// Memory budget.
    pub limiter: Limiter,
    /// Task.
    pub task: Task,
    /// Watches steps.
    pub on_step: Option<OnStep>,
}

/// A panic of the guest, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GuestPanic(pub String);

#[derive(ComponentType, Lower)]
#[component(record)]
struct Batch {
    tokens: Handle,
    targets: Handle,
}

type Handle = Resource<Tensor>;
type Context<'a> = StoreContextMut<'a, State>;
type Reply<R> = wasmtime::Result<R>;

/// Takes fuel from the guest; at less than `amount` it traps with none left.
fn charge(cx: &mut Context<'_>, amount: u64) -> Reply<()> {
    match cx.get_fuel()?.checked_sub(amount) {
        Some(left) => cx.set_fuel(left),
        None => {
            cx.set_fuel(0)?;
            Err(Trap::OutOfFuel.into())
        }
    }
}

/// One interface while its functions are being defined.
struct Interface<'a>(LinkerInstance<'a, State>);

impl Interface<'_> {
    /// Defines a function; its call and its lists are paid for before `run` sees them.
    fn define<P, R>(
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
    fn command<P>(
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

    /// Defines an operation: its parameters become an op and operands.
    fn op<P>(
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

/// Gives the guest a handle.
fn hand_out(cx: &mut Context<'_>, id: TensorId) -> Reply<Handle> {
    charge(cx, HANDLE_FUEL)?;
    Ok(Handle::new_own(cx.data_mut().handles.push(id)?))
}

impl State {
    fn id(&self, handle: &Handle) -> Reply<TensorId> {
        Ok(self.handles.get(handle.rep())?)
    }

    fn ids(&self, handles: &[Handle]) -> Reply<Vec<TensorId>> {
        handles.iter().map(|handle| self.id(handle)).collect()
    }

    /// The axes to reduce, sorted; an empty list means all.
    fn axes(&self, x: TensorId, mut axes: Vec<u32>) -> Reply<Vec<u32>> {
        if axes.is_empty() {
            axes = (0..self.session.spec(x)?.shape.rank() as u32).collect();
        }
        axes.sort_unstable();
        Ok(axes)
    }
}

/// Defines the whole contract.
///
/// # Errors
/// If two definitions carry one name.
pub fn link(linker: &mut Linker<State>) -> Reply<()> {
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

fn state(api: &mut Interface<'_>) -> Reply<()> {
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

fn session(api: &mut Interface<'_>) -> Reply<()> {
    api.define("task", |cx, (): ()| Ok(cx.data().task))?;
    api.define("next-batch", |cx, (batch, seq): (u32, u32)| {
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
