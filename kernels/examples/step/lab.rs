//! A guest's view of a session, natively: handles that release what they hold, and the calls that the model needs.
//! Makes the same calls in the same order as the guest's library does, so that both give one op stream.

use super::inputs::Inputs;
use kernels::cost::{Class, Profile, Rate};
use kernels::cpu::CpuExecutor;
use kernels::exec::{Dry, Executor, Step};
use kernels::fault::Fault;
use kernels::op::{AdamW, Attention, Binary, Loss, Op, TensorId, Unary};
use kernels::session::{Answers, Config, Mode, Session, Totals};
use kernels::spec::{Shape, Spec, Values};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A session that handles share.
#[derive(Clone)]
pub struct Lab {
    session: Rc<RefCell<Session>>,
    executor: Option<Watched>,
}

/// The CPU executor, shared so that its memory can be looked at.
#[derive(Clone)]
pub struct Watched(Arc<Mutex<CpuExecutor>>);

/// A handle.
pub struct Tensor {
    lab: Lab,
    id: TensorId,
}

impl Drop for Tensor {
    fn drop(&mut self) {
        self.lab.session.borrow_mut().release(self.id);
    }
}

impl Watched {
    /// An executor with `threads` threads.
    pub fn new(threads: usize, random_seed: u64) -> Result<Self, Fault> {
        Ok(Self(Arc::new(Mutex::new(CpuExecutor::new(threads, random_seed)?))))
    }

    /// Most bytes of tensors that were in use at once.
    pub fn peak_bytes(&self) -> u64 {
        self.lock().peak_bytes()
    }

    fn lock(&self) -> MutexGuard<'_, CpuExecutor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for Watched {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        self.lock().execute(steps)
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        self.lock().upload(id, spec, values)
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        self.lock().download(id)
    }

    fn class(&self) -> &'static str {
        self.lock().class()
    }
}

fn shape(op: &'static str, dims: &[u32]) -> Result<Shape, Fault> {
    Shape::new(dims).map_err(|source| Fault::Size { op, source })
}

impl Lab {
    /// A session on the CPU engine with a budget that never ends, which starts from `inputs`; `dry` executes nothing.
    pub fn open(inputs: &Inputs, threads: usize, dry: bool) -> Result<Self, Fault> {
        Self::limited(inputs, threads, dry, 4 << 30)
    }

    /// As `open`, with at most `tensor_bytes` of live tensors.
    pub fn limited(inputs: &Inputs, threads: usize, dry: bool, tensor_bytes: u64) -> Result<Self, Fault> {
        let rate = |class: Class| Rate {
            class: class.name().to_owned(),
            mflops: 100_000,
            bytes_per_us: 20_000,
            overhead_ps: 1_000_000,
        };
        let config = Config {
            mode: Mode::Train,
            profile: Profile::of_rates("any", Class::ALL.map(rate).to_vec()),
            budget_ps: u64::MAX / 4,
            tensor_bytes,
            max_ops: u64::MAX,
            max_tensors: 100_000,
            random_seed: 1,
            intervals: 1,
        };
        let executor = if dry { None } else { Some(Watched::new(threads, config.random_seed)?) };
        let (boxed, answers): (Box<dyn Executor>, _) = match &executor {
            Some(watched) => (Box::new(watched.clone()), Answers::Execute),
            None => (Box::<Dry>::default(), Answers::StandIn),
        };
        let mut session = Session::new(config, boxed, Some(Box::new(inputs.batches())), answers);
        session.start_from(inputs.state());
        Ok(Self { session: Rc::new(RefCell::new(session)), executor })
    }

    /// Most bytes of tensors that the executor had in use at once; 0 in a dry run.
    pub fn executor_peak_bytes(&self) -> u64 {
        self.executor.as_ref().map_or(0, Watched::peak_bytes)
    }

    fn tensor(&self, id: TensorId) -> Tensor {
        Tensor { lab: self.clone(), id }
    }

    fn submit(&self, op: Op, inputs: &[TensorId]) -> Result<Tensor, Fault> {
        let id = self.session.borrow_mut().submit(op, inputs)?;
        Ok(self.tensor(id))
    }

    /// All zeros.
    pub fn zeros(&self, dims: &[u32]) -> Result<Tensor, Fault> {
        self.submit(Op::Full { shape: shape("full", dims)?, value: 0.0 }, &[])
    }

    /// Uniform within ±`bound`.
    pub fn uniform(&self, dims: &[u32], bound: f32) -> Result<Tensor, Fault> {
        let shape = shape("uniform", dims)?;
        self.submit(Op::Uniform { shape, low: -bound, high: bound, stream: 0, position: 0 }, &[])
    }

    /// Normal with mean 0.
    pub fn normal(&self, dims: &[u32], std: f32) -> Result<Tensor, Fault> {
        let shape = shape("normal", dims)?;
        self.submit(Op::Normal { shape, mean: 0.0, std, stream: 0, position: 0 }, &[])
    }

    /// Declares a parameter.
    pub fn parameter(&self, name: &str, init: Tensor) -> Result<Tensor, Fault> {
        let id = self.session.borrow_mut().parameter(name, init.id)?;
        Ok(self.tensor(id))
    }

    /// Tokens and targets.
    pub fn next_batch(&self, batch: u32, seq: u32) -> Result<Option<[Tensor; 2]>, Fault> {
        let drawn = self.session.borrow_mut().next_batch(batch, seq)?;
        Ok(drawn.map(|(tokens, targets)| [self.tensor(tokens), self.tensor(targets)]))
    }

    /// Executes what is pending.
    pub fn flush(&self) -> Result<(), Fault> {
        self.session.borrow_mut().flush()
    }

    /// Keeps the loss for the curve.
    pub fn log(&self, loss: &Tensor) -> Result<(), Fault> {
        self.session.borrow_mut().log("loss", loss.id)
    }

    /// What was logged.
    pub fn losses(&self) -> Vec<f64> {
        self.session.borrow().curve().iter().map(|point| point.value).collect()
    }

    /// The host's look at values.
    pub fn peek(&self, x: &Tensor) -> Result<Vec<f32>, Fault> {
        self.session.borrow_mut().peek(x.id)
    }

    /// Counters.
    pub fn totals(&self) -> Totals {
        self.session.borrow().totals()
    }
}

impl Tensor {
    fn one(&self, op: Op) -> Result<Tensor, Fault> {
        self.lab.submit(op, &[self.id])
    }

    fn two(&self, op: Op, other: &Tensor) -> Result<Tensor, Fault> {
        self.lab.submit(op, &[self.id, other.id])
    }

    /// An unnamed tensor that starts as a copy.
    pub fn variable(&self) -> Result<Tensor, Fault> {
        let id = self.lab.session.borrow_mut().variable(self.id)?;
        Ok(self.lab.tensor(id))
    }

    /// Rows of this table.
    pub fn embedding(&self, indices: &Tensor) -> Result<Tensor, Fault> {
        self.two(Op::Embedding, indices)
    }

    /// self + other.
    pub fn add(&self, other: &Tensor) -> Result<Tensor, Fault> {
        self.two(Op::Binary(Binary::Add), other)
    }

    /// x·wᵀ.
    pub fn linear(&self, weight: &Tensor) -> Result<Tensor, Fault> {
        self.two(Op::MatMul { transpose_a: false, transpose_b: true }, weight)
    }

    /// Over the last axis.
    pub fn rms_norm(&self, eps: f32) -> Result<Tensor, Fault> {
        self.one(Op::RmsNorm { eps })
    }

    /// Rotary embedding.
    pub fn rope(&self, base: f32) -> Result<Tensor, Fault> {
        self.one(Op::Rope { base, inverse: false })
    }

    /// max(x, 0)².
    pub fn relu_squared(&self) -> Result<Tensor, Fault> {
        self.one(Op::Unary(Unary::ReluSquared))
    }

    /// Another shape.
    pub fn reshape(&self, dims: &[u32]) -> Result<Tensor, Fault> {
        self.one(Op::Reshape { shape: shape("reshape", dims)? })
    }

    /// Causal attention.
    pub fn attention(&self, k: &Tensor, v: &Tensor, scale: f32) -> Result<Tensor, Fault> {
        self.lab.submit(Op::Attention(Attention { causal: true, window: 0, scale }), &[self.id, k.id, v.id])
    }

    /// Mean negative log-likelihood of capped logits x·wᵀ.
    pub fn linear_cross_entropy(&self, weight: &Tensor, targets: &Tensor, softcap: f32) -> Result<Tensor, Fault> {
        let op = Op::LinearCrossEntropy { loss: Loss { softcap, z_loss: 0.0 }, gradients: false };
        self.lab.submit(op, &[self.id, weight.id, targets.id])
    }

    /// Gradients by `wrt`, in order.
    pub fn gradients(&self, wrt: &[&Tensor]) -> Result<Vec<Tensor>, Fault> {
        let wrt: Vec<TensorId> = wrt.iter().map(|x| x.id).collect();
        let made = self.lab.session.borrow_mut().backward(self.id, &wrt)?;
        Ok(made.into_iter().map(|id| self.lab.tensor(id)).collect())
    }

    /// One optimizer step on this slot.
    pub fn adamw(&self, grad: &Tensor, m: &Tensor, v: &Tensor, how: AdamW) -> Result<(), Fault> {
        self.lab.session.borrow_mut().adamw(self.id, grad.id, m.id, v.id, how)
    }
}
