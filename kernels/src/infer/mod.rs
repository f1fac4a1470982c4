//! Shapes and dtypes: what an op makes of its operands, or why it cannot take them. Pure; depends on `op`, `spec` and
//! `fault`. Every size is checked before anything is allocated.

use crate::fault::Fault;
use crate::op::{AdamW, Op};
use crate::spec::{DType, Shape, Spec};
use smallvec::{SmallVec, smallvec};

/// Most positions of an attention: what a block of its scores takes beside the tensors grows with them.
const MAX_POSITIONS: u32 = 1 << 16;

/// Specs of an op's outputs, in order.
pub type Specs = SmallVec<[Spec; 2]>;

/// Most Newton–Schulz steps of one op.
pub const MAX_NEWTON_SCHULZ_STEPS: u32 = 64;

/// Operands that a fault shows; a guest chooses how many it joins.
const MAX_SHOWN: usize = 6;

/// Specs of what `op` makes of `inputs`. In-place ops make nothing.
pub fn infer(op: &Op, inputs: &[&Spec]) -> Result<Specs, Fault> {
    let call = Call { op, inputs };
    call.arity()?;
    call.dtypes()?;
    call.scalars()?;
    call.outputs()
}

/// NumPy's broadcasting of two shapes; none where sizes differ and neither is 1.
pub fn broadcast(a: &Shape, b: &Shape) -> Option<SmallVec<[u32; 6]>> {
    let rank = a.rank().max(b.rank());
    let size = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |axis| s.dims()[axis]);
    (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

struct Call<'a> {
    op: &'a Op,
    inputs: &'a [&'a Spec],
}

impl Call<'_> {
    fn shape_fault(&self, reason: impl Into<String>) -> Fault {
        let shown = self.inputs.iter().take(MAX_SHOWN);
        let mut all: Vec<String> = shown.map(|s| s.to_string()).collect();
        if let Some(more @ 1..) = self.inputs.len().checked_sub(MAX_SHOWN) {
            all.push(format!("{more} more"));
        }
        let operands = match all.as_slice() {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        Fault::Shape { op: self.op.name(), operands, reason: reason.into() }
    }

    fn misuse(&self, reason: impl Into<String>) -> Fault {
        Fault::Misuse { op: self.op.name(), reason: reason.into() }
    }

    fn size(&self, dims: &[u32]) -> Result<Shape, Fault> {
        Shape::new(dims).map_err(|source| Fault::Size { op: self.op.name(), source })
    }

    fn arity(&self) -> Result<(), Fault> {
        let given = self.inputs.len();
        let wanted = match self.op {
            Op::Full { .. } | Op::Arange { .. } | Op::Constant { .. } => 0,
            Op::Uniform { .. } | Op::Normal { .. } | Op::NextBatch { .. } => 0,
            Op::Cat { .. } if given == 0 => {
                return Err(self.misuse("nothing to join; give at least one tensor"));
            }
            Op::Cat { .. } => given,
            Op::SoftcapGrad { .. } | Op::SoftmaxGrad | Op::RmsNormGrad { .. } => 2,
            Op::Binary(_) | Op::MatMul { .. } | Op::Embedding | Op::EmbeddingGrad { .. } => 2,
            Op::CrossEntropy { .. } | Op::Assign | Op::Blend { .. } => 2,
            Op::UnaryGrad(_) | Op::ChosenGrad(_) | Op::Attention { .. } => 3,
            Op::CrossEntropyGrad { .. } | Op::AdamW(_) => 4,
            Op::AttentionGrad { .. } => 6,
            _ => 1,
        };
        if given == wanted {
            return Ok(());
        }
        Err(self.misuse(format!("{wanted} operands are needed, {given} were given")))
    }

    fn dtypes(&self) -> Result<(), Fault> {
        let any = matches!(
            self.op,
            Op::Reshape { .. } | Op::Permute { .. } | Op::Narrow { .. } | Op::Expand { .. } | Op::Copy
        );
        if any {
            return Ok(());
        }
        let alike = matches!(self.op, Op::Cat { .. } | Op::Assign);
        for (i, spec) in self.inputs.iter().enumerate() {
            let wanted = match (self.op, i) {
                _ if alike => self.inputs[0].dtype,
                (Op::EmbeddingGrad { .. }, 0) => DType::U32,
                (Op::Embedding | Op::CrossEntropy { .. } | Op::CrossEntropyGrad { .. }, 1) => DType::U32,
                _ => DType::F32,
            };
            if spec.dtype != wanted {
                let name = |d| if d == DType::F32 { "f32" } else { "u32" };
                let reason = format!("operand {} is {}, it must be {}", i + 1, name(spec.dtype), name(wanted));
                return Err(self.shape_fault(reason));
            }
        }
        Ok(())
    }

    fn scalars(&self) -> Result<(), Fault> {
        let check = |ok: bool, reason: String| if ok { Ok(()) } else { Err(self.misuse(reason)) };
        match *self.op {
            Op::Uniform { low, high, .. } => check(
                low.is_finite() && high.is_finite() && low <= high,
                format!("no range from {low} to {high}; low must be at most high, both finite"),
            ),
            Op::Normal { mean, std, .. } => check(
                mean.is_finite() && std.is_finite() && std >= 0.0,
                format!("mean {mean} and deviation {std} must be finite, the deviation at least 0"),
            ),
            Op::RmsNorm { eps } | Op::RmsNormGrad { eps } => {
                check(eps.is_finite() && eps >= 0.0, format!("eps is {eps}; it must be at least 0"))
            }
            Op::Softcap { cap } | Op::SoftcapGrad { cap } => {
                check(cap.is_finite() && cap > 0.0, format!("the cap is {cap}; it must be above 0"))
            }
            Op::CrossEntropy { softcap } | Op::CrossEntropyGrad { softcap } => {
                check(softcap.is_finite() && softcap >= 0.0, format!("softcap is {softcap}; 0 means none"))
            }
            Op::Rope { base, .. } => {
                check(base.is_finite() && base > 0.0, format!("the base is {base}; it must be above 0"))
            }
            Op::Attention { scale, .. } | Op::AttentionGrad { scale, .. } => {
                check(scale.is_finite(), format!("the scale is {scale}; it must be finite"))
            }
            Op::NewtonSchulz { steps } => check(
                steps <= MAX_NEWTON_SCHULZ_STEPS,
                format!("{steps} steps; at most {MAX_NEWTON_SCHULZ_STEPS} are allowed (5 is usual)"),
            ),
            Op::AdamW(AdamW { beta1, beta2, eps, step, .. }) => {
                check(step >= 1, "step is 0; it counts from 1".to_owned())?;
                check((0.0..1.0).contains(&beta1), format!("beta1 is {beta1}; it must be in [0, 1)"))?;
                check((0.0..1.0).contains(&beta2), format!("beta2 is {beta2}; it must be in [0, 1)"))?;
                check(eps.is_finite() && eps >= 0.0, format!("eps is {eps}; it must be at least 0"))
            }
            _ => Ok(()),
        }
    }

    fn outputs(&self) -> Result<Specs, Fault> {
        let input = |i: usize| self.inputs[i];
        Ok(match self.op {
            Op::Full { shape, .. } | Op::Uniform { shape, .. } | Op::Normal { shape, .. } => one(shape.clone()),
            Op::Arange { len } => smallvec![Spec::u32(self.size(&[*len])?)],
            Op::Constant { shape, u32: true } => smallvec![Spec::u32(shape.clone())],
            Op::Constant { shape, u32: false } => one(shape.clone()),
            Op::NextBatch { batch, seq, .. } => {
                let spec = Spec::u32(self.size(&[*batch, *seq])?);
                smallvec![spec.clone(), spec]
            }
            Op::Reshape { .. } | Op::Permute { .. } | Op::Narrow { .. } | Op::Pad { .. } | Op::Cat { .. } => {
                smallvec![Spec { shape: self.moved()?, dtype: input(0).dtype }]
            }
            Op::Expand { shape } => {
                self.repeats(&input(0).shape, shape)?;
                smallvec![Spec { shape: shape.clone(), dtype: input(0).dtype }]
            }
            Op::Copy | Op::Unary(_) | Op::Affine { .. } | Op::Softcap { .. } => smallvec![input(0).clone()],
            Op::UnaryGrad(_) | Op::ChosenGrad(_) | Op::SoftcapGrad { .. } => self.same()?,
            Op::Binary(_) => {
                match broadcast(&input(0).shape, &input(1).shape) {
                    Some(dims) => one(self.size(&dims)?),
                    None => return Err(self.shape_fault(
                        "the shapes do not broadcast: aligned from the last axis, two sizes differ and neither is 1",
                    )),
                }
            }
            Op::Sum { axes, keep } | Op::Mean { axes, keep } => one(self.reduced(axes, *keep)?),
            Op::SumTo { shape } => {
                self.repeats(shape, &input(0).shape)?;
                one(shape.clone())
            }
            Op::Softmax | Op::RmsNorm { .. } => smallvec![self.with_last_axis()?],
            Op::SoftmaxGrad | Op::RmsNormGrad { .. } => {
                self.with_last_axis()?;
                self.same()?
            }
            Op::MatMul { transpose_a, transpose_b } => one(self.product(*transpose_a, *transpose_b)?),
            Op::Embedding => one(self.embedding()?),
            Op::EmbeddingGrad { rows } => one(self.embedding_gradient(*rows)?),
            Op::Rope { .. } => smallvec![self.rope()?],
            Op::Attention { .. } => self.attention()?,
            Op::AttentionGrad { .. } => self.attention_gradient()?,
            Op::CrossEntropy { .. } => self.cross_entropy()?,
            Op::CrossEntropyGrad { .. } => self.cross_entropy_gradient()?,
            Op::NewtonSchulz { .. } if input(0).shape.rank() < 2 => {
                return Err(self.shape_fault("a matrix is needed: at least 2 axes"));
            }
            Op::NewtonSchulz { .. } => smallvec![input(0).clone()],
            Op::Assign | Op::Blend { .. } | Op::AdamW(_) => {
                self.same()?;
                SmallVec::new()
            }
        })
    }

    /// All operands have one shape: that one.
    fn same(&self) -> Result<Specs, Fault> {
        if self.inputs.iter().all(|s| s.shape == self.inputs[0].shape) {
            return Ok(smallvec![self.inputs[0].clone()]);
        }
        let mut reason = "the shapes must be equal".to_owned();
        if matches!(self.op, Op::Assign | Op::Blend { .. }) {
            reason.push_str("; expand or reshape the value first");
        }
        Err(self.shape_fault(reason))
    }

    fn axis(&self, axis: u32) -> Result<usize, Fault> {
        let rank = self.inputs[0].shape.rank();
        let index = axis as usize;
        if index < rank {
            return Ok(index);
        }
        Err(self.shape_fault(format!("axis {axis} does not exist; axes are counted from 0, there are {rank}")))
    }

    fn moved(&self) -> Result<Shape, Fault> {
        let from = &self.inputs[0].shape;
        let mut dims: SmallVec<[u32; 6]> = SmallVec::from_slice(from.dims());
        match self.op {
            Op::Reshape { shape } => {
                let (have, want) = (from.elements(), shape.elements());
                if have != want {
                    return Err(self.shape_fault(format!("{have} elements do not fill {shape}, which has {want}")));
                }
                return Ok(shape.clone());
            }
            Op::Permute { axes } => {
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if !sorted.iter().copied().eq(0..from.rank() as u32) {
                    let reason = format!("axes {:?} must name each of the {} axes once", axes.as_slice(), from.rank());
                    return Err(self.shape_fault(reason));
                }
                for (dim, &axis) in dims.iter_mut().zip(axes) {
                    *dim = from.dims()[axis as usize];
                }
            }
            Op::Narrow { axis, start, len } => {
                let index = self.axis(*axis)?;
                if start.checked_add(*len).is_none_or(|end| end > dims[index]) {
                    let reason = format!("{len} from {start} does not lie within axis {axis} of size {}", dims[index]);
                    return Err(self.shape_fault(reason));
                }
                dims[index] = *len;
            }
            Op::Pad { axis, before, after } => {
                let index = self.axis(*axis)?;
                let size = dims[index].checked_add(*before).and_then(|n| n.checked_add(*after));
                dims[index] = size.ok_or_else(|| self.shape_fault("the padded axis is too long"))?;
            }
            Op::Cat { axis } => dims[self.axis(*axis)?] = self.joined(*axis as usize)?,
            _ => {}
        }
        self.size(&dims)
    }

    /// Size of the joined axis.
    fn joined(&self, axis: usize) -> Result<u32, Fault> {
        let first = self.inputs[0].shape.dims();
        let mut total = 0u32;
        for spec in self.inputs {
            let dims = spec.shape.dims();
            let agree =
                dims.len() == first.len() && dims.iter().zip(first).enumerate().all(|(i, (a, b))| i == axis || a == b);
            if !agree {
                return Err(self.shape_fault(format!("sizes may differ along axis {axis} only")));
            }
            let size = dims.get(axis).copied().unwrap_or(0);
            total = total.checked_add(size).ok_or_else(|| self.shape_fault("the joined axis is too long"))?;
        }
        Ok(total)
    }

    /// Broadcasting `small` gives `large`.
    fn repeats(&self, small: &Shape, large: &Shape) -> Result<(), Fault> {
        if broadcast(small, large).is_some_and(|dims| dims.as_slice() == large.dims()) {
            return Ok(());
        }
        Err(self.shape_fault(format!(
            "{small} does not expand to {large}: aligned from the last axis, sizes must be equal or 1 before"
        )))
    }

    fn reduced(&self, axes: &[u32], keep: bool) -> Result<Shape, Fault> {
        let from = &self.inputs[0].shape;
        for &axis in axes {
            self.axis(axis)?;
        }
        if !axes.is_sorted_by(|a, b| a < b) {
            return Err(self.misuse(format!("axes {axes:?} must be sorted and distinct")));
        }
        let dims: SmallVec<[u32; 6]> = (0u32..)
            .zip(from.dims())
            .filter_map(|(axis, &size)| match (axes.contains(&axis), keep) {
                (false, _) => Some(size),
                (true, true) => Some(1),
                (true, false) => None,
            })
            .collect();
        self.size(&dims)
    }

    fn with_last_axis(&self) -> Result<Spec, Fault> {
        if self.inputs[0].shape.rank() == 0 {
            return Err(self.shape_fault("a scalar has no last axis"));
        }
        Ok(self.inputs[0].clone())
    }

    fn product(&self, transpose_a: bool, transpose_b: bool) -> Result<Shape, Fault> {
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

    fn embedding(&self) -> Result<Shape, Fault> {
        let (table, indices) = (&self.inputs[0].shape, &self.inputs[1].shape);
        if table.rank() != 2 {
            return Err(self.shape_fault("the table must be [rows, width]"));
        }
        let mut dims: SmallVec<[u32; 6]> = SmallVec::from_slice(indices.dims());
        dims.push(table.last());
        self.size(&dims)
    }

    fn embedding_gradient(&self, rows: u32) -> Result<Shape, Fault> {
        let (indices, dy) = (self.inputs[0].shape.dims(), self.inputs[1].shape.dims());
        match dy.split_last() {
            Some((&width, lead)) if lead == indices => self.size(&[rows, width]),
            _ => Err(self.shape_fault("the gradient must be [indices.., width]")),
        }
    }

    fn rope(&self) -> Result<Spec, Fault> {
        match self.inputs[0].shape.dims() {
            [_, _, _, width] if width % 2 == 0 => Ok(self.inputs[0].clone()),
            [_, _, _, width] => {
                Err(self.shape_fault(format!("the last axis, {width}, must be even: halves are rotated")))
            }
            _ => Err(self.shape_fault("[batch, time, heads, dim] is needed")),
        }
    }

    fn attention(&self) -> Result<Specs, Fault> {
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
            return Err(self.shape_fault(format!("{heads} query heads are no multiple of {groups} key heads")));
        }
        Ok(smallvec![Spec::f32(q.clone()), Spec::f32(self.size(&[batch, heads, time])?)])
    }

    fn attention_gradient(&self) -> Result<Specs, Fault> {
        let forward = Call { op: self.op, inputs: &self.inputs[..3] }.attention()?;
        let fits = self.inputs[3] == &forward[0] && self.inputs[4] == &forward[1] && self.inputs[5] == &forward[0];
        if !fits {
            return Err(self.shape_fault("result, logsumexp or gradient does not fit the operands"));
        }
        Ok(self.inputs[..3].iter().map(|&s| s.clone()).collect())
    }

    fn cross_entropy(&self) -> Result<Specs, Fault> {
        let (logits, targets) = (&self.inputs[0].shape, &self.inputs[1].shape);
        match logits.dims().split_last() {
            Some((_, rows)) if rows == targets.dims() => {
                Ok(smallvec![Spec::f32(Shape::scalar()), Spec::f32(targets.clone())])
            }
            _ => Err(self.shape_fault("logits must be [targets.., vocab]")),
        }
    }

    fn cross_entropy_gradient(&self) -> Result<Specs, Fault> {
        let forward = Call { op: self.op, inputs: &self.inputs[..2] }.cross_entropy()?;
        if self.inputs[2] != &forward[1] || self.inputs[3] != &forward[0] {
            return Err(self.shape_fault("logsumexp or gradient does not fit the operands"));
        }
        Ok(smallvec![self.inputs[0].clone()])
    }
}

fn one(shape: Shape) -> Specs {
    smallvec![Spec::f32(shape)]
}

/// Leading axes and the last two.
fn matrix(dims: &[u32]) -> Option<(&[u32], [u32; 2])> {
    match dims {
        [lead @ .., rows, columns] => Some((lead, [*rows, *columns])),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
