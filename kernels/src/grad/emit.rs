//! The inputs of a gradient rule, and how it submits ops.

use crate::fault::Fault;
use crate::infer::broadcast;
use crate::op::{Binary, Op, TensorId};
use crate::spec::{Shape, Spec};
use smallvec::{SmallVec, smallvec};

/// Takes the ops of a rule. Each id that it gives is one handle: the rule releases it or passes it on.
pub trait Emit {
    /// Submits an op; the handles of all its outputs are the caller's.
    fn emit(&mut self, op: Op, inputs: &[TensorId]) -> Result<SmallVec<[TensorId; 3]>, Fault>;
    /// Takes one more handle on the same tensor.
    fn share(&mut self, id: TensorId) -> TensorId;
    /// Gives a handle back.
    fn release(&mut self, id: TensorId);
}

/// An op that was done, as its gradient sees it.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    /// The op.
    pub op: &'a Op,
    /// Tensors that it read.
    pub inputs: &'a [TensorId],
    /// Their specs.
    pub specs: &'a [Spec],
    /// Tensors that it made.
    pub outputs: &'a [TensorId],
}

/// One entry per input: its gradient where it was wanted.
pub type Gradients = SmallVec<[Option<TensorId>; 4]>;

/// A rule at work: the op, the gradient of its result, and where the ops of the gradient go.
pub(super) struct Rule<'a> {
    pub done: Done<'a>,
    pub dy: TensorId,
    pub wanted: &'a [bool],
    pub emit: &'a mut dyn Emit,
}

impl Rule<'_> {
    pub fn shape(&self, input: usize) -> Shape {
        self.done.specs[input].shape.clone()
    }

    pub fn one(&mut self, op: Op, inputs: &[TensorId]) -> Result<TensorId, Fault> {
        let name = op.name();
        let made = self.emit.emit(op, inputs)?;
        made.first().copied().ok_or_else(|| Fault::Executor(format!("{name} made nothing")))
    }

    pub fn only(&mut self, op: Op, inputs: &[TensorId]) -> Result<Gradients, Fault> {
        Ok(smallvec![Some(self.one(op, inputs)?)])
    }

    /// Applies an op to a tensor that the rule owns and is done with.
    pub fn then(&mut self, op: Op, x: TensorId) -> Result<TensorId, Fault> {
        let y = self.one(op, &[x])?;
        self.emit.release(x);
        Ok(y)
    }

    /// Undoes broadcasting of an owned gradient of shape `from` to an input's shape.
    pub fn reduced(&mut self, x: TensorId, from: &Shape, input: usize) -> Result<TensorId, Fault> {
        let shape = self.shape(input);
        if shape == *from { Ok(x) } else { self.then(Op::SumTo { shape }, x) }
    }

    /// The first input's shape with `axes` of size 1.
    pub fn kept(&self, axes: &[u32]) -> Result<Shape, Fault> {
        let mut dims: SmallVec<[u32; 6]> = SmallVec::from_slice(self.done.specs[0].shape.dims());
        for &axis in axes {
            dims[axis as usize] = 1;
        }
        Shape::new(&dims).map_err(|source| Fault::Size { op: self.done.op.name(), source })
    }

    /// The product of two tensors that the rule owns and is done with.
    pub fn times(&mut self, a: TensorId, b: TensorId) -> Result<TensorId, Fault> {
        let y = self.one(Op::Binary(Binary::Mul), &[a, b])?;
        self.emit.release(a);
        self.emit.release(b);
        Ok(y)
    }

    /// The shape that the operands' shapes broadcast to.
    pub fn wide(&self) -> Result<Shape, Fault> {
        let op = self.done.op.name();
        self.done.specs[1..].iter().try_fold(self.shape(0), |wide, spec| {
            let dims = broadcast(&wide, &spec.shape)
                .ok_or_else(|| Fault::Executor(format!("{op} was recorded with {wide} and {}", spec.shape)))?;
            Shape::new(&dims).map_err(|source| Fault::Size { op, source })
        })
    }
}
