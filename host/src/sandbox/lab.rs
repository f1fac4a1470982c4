//! The host's side of the contract `lab:train@0.1.0`: each function of the WIT is one line of a table below, and maps
//! to one call of the session. Charges fuel for what the guest makes the host lift or hold; every fault traps.
//!
//! Fuel: [`CALL_FUEL`] per call, 1 per 4 bytes of a list (rounded up), 1 per byte of text, [`HANDLE_FUEL`] per handle.
//! The price of the operations themselves is on the other ledger, in the session.

use super::limiter::Limiter;
use kernels::fault::Fault;
use kernels::op::{AdamW, Binary, Op, TensorId, Unary};
use kernels::session::Session;
use kernels::spec::{DType, Shape, Values};
use wasmtime::component::{
    ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceTable, ResourceType,
};
use wasmtime::{StoreContextMut, Trap};

/// Fuel of a call into the host.
pub const CALL_FUEL: u64 = 16;
/// Fuel of a handle.
pub const HANDLE_FUEL: u64 = 16;
/// Most bytes that one call may carry from guest to host.
pub const CALL_BYTES: usize = 64 << 20;
/// Most handles of a guest at once.
pub const MAX_HANDLES: usize = 200_000;
const MAX_MESSAGE: usize = 4096;

/// What a handle of the guest stands for.
#[derive(Debug)]
pub struct Tensor(pub TensorId);

/// What `task` tells.
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
    pub handles: ResourceTable,
    /// Memory budget.
    pub limiter: Limiter,
    /// Task.
    pub task: Task,
    /// Watches steps.
    pub on_step: Option<OnStep>,
}

/// The guest ended its run itself: a panic, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GuestPanic(pub String);

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
enum Dtype {
    #[component(name = "f32")]
    F32,
    #[component(name = "u32")]
    U32,
}

#[allow(dead_code, reason = "made by lifting alone")]
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
enum UnaryOp {
    #[component(name = "neg")]
    Neg,
    #[component(name = "exp")]
    Exp,
    #[component(name = "log")]
    Log,
    #[component(name = "sqrt")]
    Sqrt,
    #[component(name = "rsqrt")]
    Rsqrt,
    #[component(name = "square")]
    Square,
    #[component(name = "abs")]
    Abs,
    #[component(name = "sin")]
    Sin,
    #[component(name = "cos")]
    Cos,
    #[component(name = "tanh")]
    Tanh,
    #[component(name = "sigmoid")]
    Sigmoid,
    #[component(name = "relu")]
    Relu,
    #[component(name = "relu-squared")]
    ReluSquared,
    #[component(name = "gelu")]
    Gelu,
    #[component(name = "silu")]
    Silu,
}

impl From<UnaryOp> for Unary {
    fn from(op: UnaryOp) -> Self {
        match op {
            UnaryOp::Neg => Self::Neg,
            UnaryOp::Exp => Self::Exp,
            UnaryOp::Log => Self::Log,
            UnaryOp::Sqrt => Self::Sqrt,
            UnaryOp::Rsqrt => Self::Rsqrt,
            UnaryOp::Square => Self::Square,
            UnaryOp::Abs => Self::Abs,
            UnaryOp::Sin => Self::Sin,
            UnaryOp::Cos => Self::Cos,
            UnaryOp::Tanh => Self::Tanh,
            UnaryOp::Sigmoid => Self::Sigmoid,
            UnaryOp::Relu => Self::Relu,
            UnaryOp::ReluSquared => Self::ReluSquared,
            UnaryOp::Gelu => Self::Gelu,
            UnaryOp::Silu => Self::Silu,
        }
    }
}

#[allow(dead_code, reason = "made by lifting alone")]
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
enum BinaryOp {
    #[component(name = "add")]
    Add,
    #[component(name = "sub")]
    Sub,
    #[component(name = "mul")]
    Mul,
    #[component(name = "div")]
    Div,
    #[component(name = "max")]
    Max,
    #[component(name = "min")]
    Min,
}

impl From<BinaryOp> for Binary {
    fn from(op: BinaryOp) -> Self {
        match op {
            BinaryOp::Add => Self::Add,
            BinaryOp::Sub => Self::Sub,
            BinaryOp::Mul => Self::Mul,
            BinaryOp::Div => Self::Div,
            BinaryOp::Max => Self::Max,
            BinaryOp::Min => Self::Min,
        }
    }
}

#[allow(dead_code, reason = "made by lifting alone")]
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
enum ReduceOp {
    #[component(name = "sum")]
    Sum,
    #[component(name = "mean")]
    Mean,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
struct Adamw {
    lr: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    #[component(name = "weight-decay")]
    weight_decay: f32,
    step: u32,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Batch {
    tokens: Handle,
    targets: Handle,
}

type Handle = Resource<Tensor>;
type Context<'a> = StoreContextMut<'a, State>;
type Reply<R> = wasmtime::Result<R>;

/// What a value costs to lift, in fuel.
trait Lifted {
    fn fuel(&self) -> u64;
}

macro_rules! lifted_free {
    ($($type:ty),*) => { $(impl Lifted for $type { fn fuel(&self) -> u64 { 0 } })* };
}
lifted_free!(u32, f32, f64, bool, UnaryOp, BinaryOp, ReduceOp, Adamw, Handle);

impl<T> Lifted for Vec<T> {
    fn fuel(&self) -> u64 {
        (size_of::<T>() as u64).saturating_mul(self.len() as u64).div_ceil(4)
    }
}

impl Lifted for String {
    fn fuel(&self) -> u64 {
        self.len() as u64
    }
}

macro_rules! lifted_tuple {
    ($($name:ident)*) => {
        impl<$($name: Lifted),*> Lifted for ($($name,)*) {
            #[allow(non_snake_case, reason = "one name serves type and value")]
            fn fuel(&self) -> u64 {
                let ($($name,)*) = self;
                0u64 $(.saturating_add($name.fuel()))*
            }
        }
    };
}
lifted_tuple!();
lifted_tuple!(A);
lifted_tuple!(A B);
lifted_tuple!(A B C);
lifted_tuple!(A B C D);
lifted_tuple!(A B C D E);

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
    Ok(cx.data_mut().handles.push(Tensor(id))?)
}

impl State {
    fn id(&self, handle: &Handle) -> Reply<TensorId> {
        Ok(self.handles.get(handle)?.0)
    }

    fn ids(&self, handles: &[Handle]) -> Reply<Vec<TensorId>> {
        handles.iter().map(|handle| self.id(handle)).collect()
    }

    /// The axes to reduce: sorted; none means all.
    fn axes(&self, x: TensorId, mut axes: Vec<u32>) -> Reply<Vec<u32>> {
        if axes.is_empty() {
            axes = (0..self.session.spec(x)?.shape.rank() as u32).collect();
        }
        axes.sort_unstable();
        Ok(axes)
    }
}

fn shape(op: &'static str, sizes: &[u32]) -> Reply<Shape> {
    Ok(Shape::new(sizes).map_err(|source| Fault::Size { op, source })?)
}

/// Defines the whole contract.
///
/// # Errors
/// Only where two definitions carry one name.
pub fn link(linker: &mut Linker<State>) -> Reply<()> {
    tensors(&mut Interface(linker.instance("lab:train/tensors@0.1.0")?))?;
    autograd(&mut Interface(linker.instance("lab:train/autograd@0.1.0")?))?;
    state(&mut Interface(linker.instance("lab:train/state@0.1.0")?))?;
    session(&mut Interface(linker.instance("lab:train/session@0.1.0")?))
}

fn tensors(api: &mut Interface<'_>) -> Reply<()> {
    api.0.resource("tensor", ResourceType::host::<Tensor>(), |mut cx, rep| {
        let state = cx.data_mut();
        let Tensor(id) = state.handles.delete(Handle::new_own(rep))?;
        state.session.release(id);
        Ok(())
    })?;
    looks(api)?;
    creation(api)?;
    shapes(api)?;
    elementwise(api)?;
    products(api)?;
    in_place(api)
}

fn looks(api: &mut Interface<'_>) -> Reply<()> {
    api.define("[method]tensor.shape", |cx, (x,): (Handle,)| {
        let state = cx.data();
        Ok(state.session.spec(state.id(&x)?)?.shape.dims().to_vec())
    })?;
    api.define("[method]tensor.dtype", |cx, (x,): (Handle,)| {
        let state = cx.data();
        Ok(match state.session.spec(state.id(&x)?)?.dtype {
            DType::F32 => Dtype::F32,
            DType::U32 => Dtype::U32,
        })
    })?;
    api.define("[method]tensor.read", |cx, (x,): (Handle,)| {
        let id = cx.data().id(&x)?;
        let values = cx.data_mut().session.read(id)?;
        charge(cx, values.fuel())?;
        Ok(values)
    })
}

fn creation(api: &mut Interface<'_>) -> Reply<()> {
    api.op("full", |_, (sizes, value): (Vec<u32>, f32)| {
        Ok((Op::Full { shape: shape("full", &sizes)?, value }, vec![]))
    })?;
    api.op("arange", |_, (len,): (u32,)| Ok((Op::Arange { len }, vec![])))?;
    api.define("from-f32", |cx, (sizes, values): (Vec<u32>, Vec<f32>)| {
        let id = cx.data_mut().session.constant(&sizes, Values::F32(values))?;
        hand_out(cx, id)
    })?;
    api.define("from-u32", |cx, (sizes, values): (Vec<u32>, Vec<u32>)| {
        let id = cx.data_mut().session.constant(&sizes, Values::U32(values))?;
        hand_out(cx, id)
    })?;
    api.op("uniform", |_, (stream, sizes, low, high): (u32, Vec<u32>, f32, f32)| {
        Ok((Op::Uniform { shape: shape("uniform", &sizes)?, low, high, stream, position: 0 }, vec![]))
    })?;
    api.op("normal", |_, (stream, sizes, mean, std): (u32, Vec<u32>, f32, f32)| {
        Ok((Op::Normal { shape: shape("normal", &sizes)?, mean, std, stream, position: 0 }, vec![]))
    })
}

fn shapes(api: &mut Interface<'_>) -> Reply<()> {
    api.op("reshape", |state, (x, sizes): (Handle, Vec<u32>)| {
        Ok((Op::Reshape { shape: shape("reshape", &sizes)? }, vec![state.id(&x)?]))
    })?;
    api.op("permute", |state, (x, axes): (Handle, Vec<u32>)| {
        Ok((Op::Permute { axes: axes.into() }, vec![state.id(&x)?]))
    })?;
    api.op("narrow", |state, (x, axis, start, len): (Handle, u32, u32, u32)| {
        Ok((Op::Narrow { axis, start, len }, vec![state.id(&x)?]))
    })?;
    api.op("cat", |state, (parts, axis): (Vec<Handle>, u32)| Ok((Op::Cat { axis }, state.ids(&parts)?)))?;
    api.op("expand", |state, (x, sizes): (Handle, Vec<u32>)| {
        Ok((Op::Expand { shape: shape("expand", &sizes)? }, vec![state.id(&x)?]))
    })
}

fn elementwise(api: &mut Interface<'_>) -> Reply<()> {
    api.op("unary", |state, (op, x): (UnaryOp, Handle)| Ok((Op::Unary(op.into()), vec![state.id(&x)?])))?;
    api.op("binary", |state, (op, a, b): (BinaryOp, Handle, Handle)| {
        Ok((Op::Binary(op.into()), vec![state.id(&a)?, state.id(&b)?]))
    })?;
    api.op("affine", |state, (x, mul, add): (Handle, f32, f32)| Ok((Op::Affine { mul, add }, vec![state.id(&x)?])))?;
    api.op("softcap", |state, (x, cap): (Handle, f32)| Ok((Op::Softcap { cap }, vec![state.id(&x)?])))?;
    api.op("reduce", |state, (op, x, axes, keep): (ReduceOp, Handle, Vec<u32>, bool)| {
        let x = state.id(&x)?;
        let axes = state.axes(x, axes)?.into();
        let op = match op {
            ReduceOp::Sum => Op::Sum { axes, keep },
            ReduceOp::Mean => Op::Mean { axes, keep },
        };
        Ok((op, vec![x]))
    })?;
    api.op("softmax", |state, (x,): (Handle,)| Ok((Op::Softmax, vec![state.id(&x)?])))
}

fn products(api: &mut Interface<'_>) -> Reply<()> {
    api.op("matmul", |state, (a, b, transpose_a, transpose_b): (Handle, Handle, bool, bool)| {
        Ok((Op::MatMul { transpose_a, transpose_b }, vec![state.id(&a)?, state.id(&b)?]))
    })?;
    api.op("embedding", |state, (table, indices): (Handle, Handle)| {
        Ok((Op::Embedding, vec![state.id(&table)?, state.id(&indices)?]))
    })?;
    api.op("rms-norm", |state, (x, eps): (Handle, f32)| Ok((Op::RmsNorm { eps }, vec![state.id(&x)?])))?;
    api.op("rope", |state, (x, base): (Handle, f32)| Ok((Op::Rope { base, inverse: false }, vec![state.id(&x)?])))?;
    api.op("attention", |state, (q, k, v, window, scale): (Handle, Handle, Handle, u32, f32)| {
        Ok((Op::Attention { window, scale }, vec![state.id(&q)?, state.id(&k)?, state.id(&v)?]))
    })?;
    api.op("cross-entropy", |state, (logits, targets, softcap): (Handle, Handle, f32)| {
        Ok((Op::CrossEntropy { softcap }, vec![state.id(&logits)?, state.id(&targets)?]))
    })?;
    api.op("newton-schulz", |state, (x, steps): (Handle, u32)| Ok((Op::NewtonSchulz { steps }, vec![state.id(&x)?])))
}

fn in_place(api: &mut Interface<'_>) -> Reply<()> {
    api.command("assign", |cx, (x, value): (Handle, Handle)| {
        let state = cx.data_mut();
        let (x, value) = (state.id(&x)?, state.id(&value)?);
        Ok(state.session.assign(x, value)?)
    })?;
    api.command("blend", |cx, (x, keep, value, scale): (Handle, f32, Handle, f32)| {
        let state = cx.data_mut();
        let (x, value) = (state.id(&x)?, state.id(&value)?);
        Ok(state.session.blend(x, keep, value, scale)?)
    })?;
    api.command("adamw-step", |cx, (x, grad, m, v, how): (Handle, Handle, Handle, Handle, Adamw)| {
        let state = cx.data_mut();
        let (x, grad, m, v) = (state.id(&x)?, state.id(&grad)?, state.id(&m)?, state.id(&v)?);
        let Adamw { lr, beta1, beta2, eps, weight_decay, step } = how;
        Ok(state.session.adamw(x, grad, m, v, AdamW { lr, beta1, beta2, eps, weight_decay, step })?)
    })
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
    api.define("set-recording", |cx, (on,): (bool,)| Ok(cx.data_mut().session.set_recording(on)))
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
    api.command("fail", |_, (message,): (String,)| -> Reply<()> {
        Err(GuestPanic(message.chars().take(MAX_MESSAGE).collect()).into())
    })
}
