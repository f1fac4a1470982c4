//! Gradients of matrix products.

use super::emit::{Gradients, Rule};
use crate::fault::Fault;
use crate::op::{Op, TensorId};
use crate::spec::Shape;
use smallvec::{SmallVec, smallvec};

impl Rule<'_> {
    /// C = A′B′, where ′ is the flagged transpose: dA′ = dC B′ᵀ, dB′ = A′ᵀ dC.
    pub(super) fn matmul(&mut self, ta: bool, tb: bool) -> Result<Gradients, Fault> {
        let (a, b, dy) = (self.done.inputs[0], self.done.inputs[1], self.dy);
        let shared = self.done.specs[0].shape.rank() > 2 && self.done.specs[1].shape.rank() == 2;
        let product = |transpose_a, transpose_b| Op::MatMul { transpose_a, transpose_b };
        let mut gradients: Gradients = smallvec![None, None];
        if self.wanted[0] {
            gradients[0] = Some(match (ta, shared) {
                (false, _) => self.one(product(false, !tb), &[dy, b])?,
                (true, false) => self.one(product(tb, true), &[b, dy])?,
                (true, true) => {
                    let t = self.one(product(false, !tb), &[dy, b])?;
                    let swap = self.swap(0);
                    self.then(swap, t)?
                }
            });
        }
        if self.wanted[1] {
            gradients[1] = Some(if shared {
                self.shared_factor(ta, tb)?
            } else if tb {
                self.one(product(true, ta), &[dy, a])?
            } else {
                self.one(product(!ta, false), &[a, dy])?
            });
        }
        Ok(gradients)
    }

    /// dB where B served every leading index of A: one product over all rows of A′ and dC.
    fn shared_factor(&mut self, ta: bool, tb: bool) -> Result<TensorId, Fault> {
        let (specs, dy) = (self.done.specs, self.dy);
        let [.., m, k] = *specs[0].shape.dims() else {
            return Err(Fault::NoGradient { op: self.done.op.name() });
        };
        let inner = if ta { m } else { k };
        let columns = specs[1].shape.dims()[usize::from(!tb)];
        let rows = specs[0].shape.elements() / u64::from(inner);
        let a = if ta { self.one(self.swap(0), &[self.done.inputs[0]])? } else { self.emit.share(self.done.inputs[0]) };
        let left = self.then(self.matrix(rows, inner)?, a)?;
        let right = self.one(self.matrix(rows, columns)?, &[dy])?;
        let operands = if tb { [right, left] } else { [left, right] };
        let db = self.one(Op::MatMul { transpose_a: true, transpose_b: false }, &operands)?;
        self.emit.release(left);
        self.emit.release(right);
        Ok(db)
    }

    fn matrix(&self, rows: u64, columns: u32) -> Result<Op, Fault> {
        let op = self.done.op.name();
        let rows = u32::try_from(rows).map_err(|_| Fault::Executor(format!("{op} was recorded with {rows} rows")))?;
        let shape = Shape::new(&[rows, columns]).map_err(|source| Fault::Size { op, source })?;
        Ok(Op::Reshape { shape })
    }

    /// Exchanges the last two axes of a tensor of an input's rank.
    fn swap(&self, input: usize) -> Op {
        let rank = self.done.specs[input].shape.rank();
        let mut axes: SmallVec<[u32; 4]> = (0..rank as u32).collect();
        axes.swap(rank - 2, rank - 1);
        Op::Permute { axes }
    }
}
