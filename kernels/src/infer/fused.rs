//! Shapes of products, lookups and the fused ops.

use super::call::{Call, Specs};
use crate::fault::Fault;
use crate::spec::{DType, Shape, Spec};
use smallvec::{SmallVec, smallvec};

/// Most positions of an attention: the memory for a block of scores grows with them.
const MAX_POSITIONS: u32 = 1 << 16;

impl Call<'_> {
    pub(super) fn product(&self, transpose_a: bool, transpose_b: bool) -> Result<Shape, Fault> {
        let (a, b) = (self.inputs[0].shape.dims(), self.inputs[1].shape.dims());
        let (Some((a_lead, a_matrix)), Some((b_lead, b_matrix))) = (matrix(a), matrix(b)) else {
            return Err(self.shape_fault("both operands need at least 2 axes; reshape a vector to [1,n] or [n,1]"));
        };
        if !b_lead.is_empty() && a_lead != b_lead {
            return Err(self.shape_fault("leading axes differ; they must be equal, or the second operand has 2 axes"));
        }
        let [rows, inner_a] = if transpose_a { [a_matrix[1], a_matrix[0]] } else { a_matrix };
        let [inner_b, columns] = if transpose_b { [b_matrix[1], b_matrix[0]] } else { b_matrix };
        if inner_a != inner_b {
            let mut reason = format!("inner sizes {inner_a} and {inner_b} differ");
            if inner_a == columns {
                reason.push_str(if transpose_b {
                    "; they agree without transpose-b"
                } else {
                    "; they agree with transpose-b"
                });
            }
            return Err(self.shape_fault(reason));
        }
        let mut dims: SmallVec<[u32; 6]> = SmallVec::from_slice(a_lead);
        dims.extend([rows, columns]);
        self.size(&dims)
    }

    pub(super) fn embedding(&self) -> Result<Specs, Fault> {
        let (table, indices) = (self.inputs[0], &self.inputs[1].shape);
        if table.shape.rank() != 2 {
            return Err(self.shape_fault("the table must be [rows, width]"));
        }
        let mut dims: SmallVec<[u32; 6]> = SmallVec::from_slice(indices.dims());
        dims.push(table.shape.last());
        Ok(smallvec![Spec { shape: self.size(&dims)?, dtype: table.dtype }])
    }

    pub(super) fn embedding_gradient(&self, rows: u32) -> Result<Shape, Fault> {
        let (indices, dy) = (self.inputs[0].shape.dims(), self.inputs[1].shape.dims());
        match dy.split_last() {
            Some((&width, lead)) if lead == indices => self.size(&[rows, width]),
            _ => Err(self.shape_fault("the gradient must be [indices.., width]")),
        }
    }

    /// The indices' spec, if their sizes are those of the first operand except along the axis.
    fn indexed(&self, axis: u32) -> Result<&Spec, Fault> {
        let axis = self.axis(axis)?;
        let (x, indices) = (self.inputs[0].shape.dims(), self.inputs[1].shape.dims());
        let fit = x.len() == indices.len() && x.iter().zip(indices).enumerate().all(|(i, (a, b))| i == axis || a == b);
        if fit {
            return Ok(self.inputs[1]);
        }
        Err(self.shape_fault(format!("the indices must have the sizes of the first operand, but along axis {axis}")))
    }

    pub(super) fn gather(&self, axis: u32) -> Result<Specs, Fault> {
        let shape = self.indexed(axis)?.shape.clone();
        Ok(smallvec![Spec { shape, dtype: self.inputs[0].dtype }])
    }

    pub(super) fn scatter_add(&self, axis: u32) -> Result<Specs, Fault> {
        if self.indexed(axis)?.shape != self.inputs[2].shape {
            return Err(self.shape_fault("the values must have the shape of the indices"));
        }
        Ok(smallvec![self.inputs[0].clone()])
    }

    pub(super) fn rope(&self) -> Result<Spec, Fault> {
        match self.inputs[0].shape.dims() {
            [_, _, _, width] if width % 2 == 0 => Ok(self.inputs[0].clone()),
            [_, _, _, width] => {
                Err(self.shape_fault(format!("the last axis, {width}, must be even: halves are rotated")))
            }
            _ => Err(self.shape_fault("[batch, time, heads, dim] is needed")),
        }
    }

    pub(super) fn attention(&self) -> Result<Specs, Fault> {
        let (q, k, v) = (&self.inputs[0].shape, &self.inputs[1].shape, &self.inputs[2].shape);
        let (&[batch, time, heads, dim], &[k_batch, k_time, groups, k_dim]) = (q.dims(), k.dims()) else {
            return Err(self.shape_fault("[batch, time, heads, dim] is needed for each"));
        };
        if k != v {
            return Err(self.shape_fault("the shapes of k and v differ"));
        }
        if (batch, time, dim) != (k_batch, k_time, k_dim) {
            return Err(self.shape_fault("q and k may differ in heads (axis 2) only"));
        }
        if time > MAX_POSITIONS {
            return Err(self.shape_fault(format!("{time} positions; at most {MAX_POSITIONS} attend to each other")));
        }
        if heads % groups != 0 {
            return Err(self.shape_fault(format!("{heads} query heads are not a multiple of {groups} key heads")));
        }
        Ok(smallvec![Spec::f32(q.clone()), Spec::f32(self.size(&[batch, heads, time])?)])
    }

    pub(super) fn attention_gradient(&self) -> Result<Specs, Fault> {
        let forward = Call { op: self.op, inputs: &self.inputs[..3] }.attention()?;
        let fits = self.inputs[3] == &forward[0] && self.inputs[4] == &forward[1] && self.inputs[5] == &forward[0];
        if !fits {
            return Err(self.shape_fault("result, logsumexp or gradient does not fit the operands"));
        }
        Ok(self.inputs[..3].iter().map(|&s| s.clone()).collect())
    }

    pub(super) fn cross_entropy(&self) -> Result<Specs, Fault> {
        let (logits, targets) = (&self.inputs[0].shape, &self.inputs[1].shape);
        match logits.dims().split_last() {
            Some((_, rows)) if rows == targets.dims() => {
                Ok(smallvec![Spec::f32(Shape::scalar()), Spec::f32(targets.clone())])
            }
            _ => Err(self.shape_fault("logits must be [targets.., vocab]")),
        }
    }

    pub(super) fn cross_entropy_gradient(&self) -> Result<Specs, Fault> {
        let forward = Call { op: self.op, inputs: &self.inputs[..2] }.cross_entropy()?;
        if self.inputs[2] != &forward[1] || self.inputs[3] != &forward[0] {
            return Err(self.shape_fault("logsumexp or gradient does not fit the operands"));
        }
        Ok(smallvec![self.inputs[0].clone()])
    }

    pub(super) fn linear_cross_entropy(&self, gradients: bool) -> Result<Specs, Fault> {
        let [x, weight, targets] = [0, 1, 2].map(|i| &self.inputs[i].shape);
        let Some((width, rows)) = x.dims().split_last() else {
            return Err(self.shape_fault("x must be [targets.., width]"));
        };
        if rows != targets.dims() {
            return Err(self.shape_fault("x must be [targets.., width]"));
        }
        if weight.rank() != 2 || weight.last() != *width {
            return Err(self.shape_fault(format!("the weight must be [vocab, {width}]")));
        }
        let mut made: Specs = smallvec![Spec::f32(Shape::scalar()), Spec::f32(targets.clone())];
        if gradients {
            made.extend([self.inputs[0].clone(), self.inputs[1].clone()]);
        }
        Ok(made)
    }

    /// The first operand without its last axis.
    pub(super) fn per_row(&self, dtype: DType) -> Result<Specs, Fault> {
        let x = self.with_last_axis()?;
        let rows = &x.shape.dims()[..x.shape.rank() - 1];
        Ok(smallvec![Spec { shape: self.size(rows)?, dtype }])
    }
}

/// Leading axes and the last two.
fn matrix(dims: &[u32]) -> Option<(&[u32], [u32; 2])> {
    match dims {
        [lead @ .., rows, columns] => Some((lead, [*rows, *columns])),
        _ => None,
    }
}
