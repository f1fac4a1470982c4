//! A guest's view of a session, natively: handles that release what they hold, and the calls that the model needs. Makes
//! the same calls in the same order as the guest's library does, so that both give one op stream.

use kernels::fault::Fault;
use kernels::op::{AdamW, Attention, Binary, Loss, Op, TensorId, Unary};
use kernels::session::{Session, Totals};
use kernels::spec::Shape;
use std::cell::RefCell;
use std::rc::Rc;

/// A session that handles share.
#[derive(Clone)]
pub struct Lab(Rc<RefCell<Session>>);

/// A handle.
pub struct Tensor {
    lab: Lab,
    id: TensorId,
}

impl Drop for Tensor {
    fn drop(&mut self) {
        self.lab.0.borrow_mut().release(self.id);
    }
}

impl Lab {
    /// Drives `session`.
    pub fn new(session: Session) -> Self {
        Self(Rc::new(RefCell::new(session)))
    }

    fn tensor(&self, id: TensorId) -> Tensor {
        Tensor { lab: self.clone(), id }
    }

    fn submit(&self, op: Op, inputs: &[TensorId]) -> Result<Tensor, Fault> {
        let id = self.0.borrow_mut().submit(op, inputs)?;
        Ok(self.tensor(id))
    }

    /// All zeros.
    pub fn zeros(&self, dims: &[u32]) -> Result<Tensor, Fault> {
        let shape = Shape::new(dims).map_err(|source| Fault::Size { op: "full", source })?;
        self.submit(Op::Full { shape, value: 0.0 }, &[])
    }

    /// Declares a parameter.
    pub fn parameter(&self, name: &str, init: Tensor) -> Result<Tensor, Fault> {
        let id = self.0.borrow_mut().parameter(name, init.id)?;
        Ok(self.tensor(id))
    }

    /// Tokens and targets.
    pub fn next_batch(&self, batch: u32, seq: u32) -> Result<Option<[Tensor; 2]>, Fault> {
        let drawn = self.0.borrow_mut().next_batch(batch, seq)?;
        Ok(drawn.map(|(tokens, targets)| [self.tensor(tokens), self.tensor(targets)]))
    }

    /// Executes what is pending.
    pub fn flush(&self) -> Result<(), Fault> {
        self.0.borrow_mut().flush()
    }

    /// Keeps the loss for the curve.
    pub fn log(&self, loss: &Tensor) -> Result<(), Fault> {
        self.0.borrow_mut().log("loss", loss.id)
    }

    /// What was logged.
    pub fn losses(&self) -> Vec<f64> {
        self.0.borrow().curve().iter().map(|point| point.value).collect()
    }

    /// Counters.
    pub fn totals(&self) -> Totals {
        self.0.borrow().totals()
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
        let id = self.lab.0.borrow_mut().variable(self.id)?;
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

    /// cap·tanh(x/cap).
    pub fn softcap(&self, cap: f32) -> Result<Tensor, Fault> {
        self.one(Op::Softcap { cap })
    }

    /// Another shape.
    pub fn reshape(&self, dims: &[u32]) -> Result<Tensor, Fault> {
        let shape = Shape::new(dims).map_err(|source| Fault::Size { op: "reshape", source })?;
        self.one(Op::Reshape { shape })
    }

    /// Causal attention.
    pub fn attention(&self, k: &Tensor, v: &Tensor, scale: f32) -> Result<Tensor, Fault> {
        self.lab.submit(Op::Attention(Attention { causal: true, window: 0, scale }), &[self.id, k.id, v.id])
    }

    /// Mean negative log-likelihood.
    pub fn cross_entropy(&self, targets: &Tensor) -> Result<Tensor, Fault> {
        self.two(Op::CrossEntropy(Loss::default()), targets)
    }

    /// Gradients by `wrt`, in order.
    pub fn gradients(&self, wrt: &[&Tensor]) -> Result<Vec<Tensor>, Fault> {
        let wrt: Vec<TensorId> = wrt.iter().map(|x| x.id).collect();
        let made = self.lab.0.borrow_mut().backward(self.id, &wrt)?;
        Ok(made.into_iter().map(|id| self.lab.tensor(id)).collect())
    }

    /// One optimizer step on this slot.
    pub fn adamw(&self, grad: &Tensor, m: &Tensor, v: &Tensor, how: AdamW) -> Result<(), Fault> {
        self.lab.0.borrow_mut().adamw(self.id, grad.id, m.id, v.id, how)
    }
}
