//! Shapes and dtypes: what an op makes of its operands, or why it cannot take them. Pure; depends on `op`, `spec` and
//! `fault`. Every size is checked before anything is allocated.

mod fused;

use crate::fault::Fault;
use crate::op::{AdamW, Loss, Misfit, Op};
use crate::spec::{DType, Shape, Spec, listed};
use smallvec::{SmallVec, smallvec};
use std::fmt::Arguments;

/// Specs of an op's outputs, in order.
pub type Specs = SmallVec<[Spec; 2]>;

/// Most Newton–Schulz steps of one op.
pub const MAX_NEWTON_SCHULZ_STEPS: usize = 64;

/// Operands that a fault shows; a guest chooses how many it joins.
const MAX_SHOWN: usize = 6;

/// Specs of what `op` makes of `inputs`. In-place ops make nothing.
pub fn infer(op: &Op, inputs: &[&Spec]) -> Result<Specs, Fault> {
    let call = Call { op, inputs };
    call.operands()?;
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

    fn operands(&self) -> Result<(), Fault> {
        let fit = self.op.operands().check(self.inputs.iter().map(|spec| spec.dtype));
        fit.map_err(|misfit| match misfit {
            Misfit::Count { .. } | Misfit::Nothing => self.misuse(misfit.to_string()),
            Misfit::DType { .. } => self.shape_fault(misfit.to_string()),
        })
    }

    fn scalars(&self) -> Result<(), Fault> {
        let check = |ok: bool, reason: Arguments<'_>| if ok { Ok(()) } else { Err(self.misuse(reason.to_string())) };
        match self.op {
            &Op::Uniform { low, high, .. } => check(
                low <= high && (high - low).is_finite(),
                format_args!(
                    "no range from {low:?} to {high:?}; low must be at most high, their difference finite in f32"
                ),
            ),
            &Op::Normal { mean, std, .. } => check(
                mean.is_finite() && std.is_finite() && std >= 0.0,
                format_args!("mean {mean} and deviation {std} must be finite, the deviation at least 0"),
            ),
            Op::Constant { dtype, .. } => check(
                matches!(dtype, DType::F32 | DType::U32 | DType::I64),
                format_args!("no constants of {}; cast one", dtype.name()),
            ),
            &(Op::RmsNorm { eps } | Op::RmsNormGrad { eps } | Op::LayerNorm { eps } | Op::LayerNormGrad { eps }) => {
                check(eps.is_finite() && eps >= 0.0, format_args!("eps is {eps}; it must be at least 0"))
            }
            &(Op::Softcap { cap } | Op::SoftcapGrad { cap }) => {
                check(cap.is_finite() && cap > 0.0, format_args!("the cap is {cap}; it must be above 0"))
            }
            Op::CrossEntropy(loss) | Op::CrossEntropyGrad(loss) | Op::LinearCrossEntropy { loss, .. } => {
                let &Loss { softcap, z_loss } = loss;
                check(softcap.is_finite() && softcap >= 0.0, format_args!("softcap is {softcap}; 0 means none"))?;
                check(z_loss.is_finite() && z_loss >= 0.0, format_args!("z-loss is {z_loss}; 0 means none"))
            }
            &Op::Rope { base, .. } => {
                check(base.is_finite() && base > 0.0, format_args!("the base is {base}; it must be above 0"))
            }
            Op::Attention(how) | Op::AttentionGrad(how) => {
                check(how.scale.is_finite(), format_args!("the scale is {}; it must be finite", how.scale))
            }
            Op::NewtonSchulz { coefficients } => {
                let steps = coefficients.len();
                check(
                    steps <= MAX_NEWTON_SCHULZ_STEPS,
                    format_args!("{steps} steps; at most {MAX_NEWTON_SCHULZ_STEPS} are allowed (5 is usual)"),
                )?;
                let finite = coefficients.iter().flatten().all(|c| c.is_finite());
                check(finite, format_args!("a coefficient is not finite"))
            }
            &Op::AdamW(AdamW { beta1, beta2, eps, step, .. }) => {
                check(step >= 1, format_args!("step is 0; it counts from 1"))?;
                check((0.0..1.0).contains(&beta1), format_args!("beta1 is {beta1}; it must be in [0, 1)"))?;
                check((0.0..1.0).contains(&beta2), format_args!("beta2 is {beta2}; it must be in [0, 1)"))?;
                check(eps.is_finite() && eps >= 0.0, format_args!("eps is {eps}; it must be at least 0"))
            }
            _ => Ok(()),
        }
    }

    fn outputs(&self) -> Result<Specs, Fault> {
        let input = |i: usize| self.inputs[i];
        Ok(match self.op {
            Op::Full { shape, .. } | Op::Uniform { shape, .. } | Op::Normal { shape, .. } => one(shape.clone()),
            Op::Arange { len } => smallvec![Spec::u32(self.size(&[*len])?)],
            Op::Constant { shape, dtype } => smallvec![Spec { shape: shape.clone(), dtype: *dtype }],
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
            Op::Cast { to } => smallvec![Spec { shape: input(0).shape.clone(), dtype: *to }],
            Op::UnaryGrad(_) | Op::ChosenGrad(_) | Op::SoftcapGrad { .. } | Op::PowGrad { .. } => self.same()?,
            Op::Binary(_) => smallvec![Spec { shape: self.wide()?, dtype: input(0).dtype }],
            Op::Compare(_) => smallvec![Spec { shape: self.wide()?, dtype: DType::Bool }],
            Op::Select => smallvec![Spec { shape: self.wide()?, dtype: input(1).dtype }],
            Op::Sum { axes, keep } | Op::Mean { axes, keep } | Op::Max { axes, keep } | Op::Min { axes, keep } => {
                one(self.reduced(axes, *keep)?)
            }
            Op::ArgMax { axis } => smallvec![Spec::u32(self.reduced(&[*axis], false)?)],
            Op::ArgSort { .. } => smallvec![Spec::u32(self.with_last_axis()?.shape)],
            Op::CumSum { axis, .. } => {
                self.axis(*axis)?;
                smallvec![input(0).clone()]
            }
            Op::SumTo { shape } => {
                self.repeats(shape, &input(0).shape)?;
                one(shape.clone())
            }
            Op::Softmax | Op::RmsNorm { .. } | Op::LayerNorm { .. } => smallvec![self.with_last_axis()?],
            Op::SoftmaxGrad | Op::RmsNormGrad { .. } | Op::LayerNormGrad { .. } => {
                self.with_last_axis()?;
                self.same()?
            }
            Op::LogSumExp => self.per_row(DType::F32)?,
            Op::MatMul { transpose_a, transpose_b } => one(self.product(*transpose_a, *transpose_b)?),
            Op::Embedding => self.embedding()?,
            Op::EmbeddingGrad { rows } => one(self.embedding_gradient(*rows)?),
            Op::Gather { axis } => self.gather(*axis)?,
            Op::ScatterAdd { axis } => self.scatter_add(*axis)?,
            Op::Rope { .. } => smallvec![self.rope()?],
            Op::Attention(_) => self.attention()?,
            Op::AttentionGrad(_) => self.attention_gradient()?,
            Op::CrossEntropy(_) => self.cross_entropy()?,
            Op::CrossEntropyGrad(_) => self.cross_entropy_gradient()?,
            Op::LinearCrossEntropy { gradients, .. } => self.linear_cross_entropy(*gradients)?,
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

    /// What the operands' shapes broadcast to.
    fn wide(&self) -> Result<Shape, Fault> {
        let reason = "the shapes do not broadcast: aligned from the last axis, two sizes differ and neither is 1";
        let (first, rest) = self.inputs.split_first().ok_or_else(|| self.misuse("no operands"))?;
        rest.iter().try_fold(first.shape.clone(), |wide, spec| {
            self.size(&broadcast(&wide, &spec.shape).ok_or_else(|| self.shape_fault(reason))?)
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
                    let reason = format!("axes {} must name each of the {} axes once", listed(axes), from.rank());
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
                dims[index] = size.ok_or_else(|| {
                    self.shape_fault(format!(
                        "axis {axis} of size {} with {before} before and {after} after is longer than {}",
                        dims[index],
                        u32::MAX
                    ))
                })?;
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
            total = total
                .checked_add(size)
                .ok_or_else(|| self.shape_fault(format!("the joined axis {axis} is longer than {}", u32::MAX)))?;
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
            return Err(self.misuse(format!("axes {} must rise; each is given once", listed(axes))));
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
}

fn one(shape: Shape) -> Specs {
    smallvec![Spec::f32(shape)]
}

#[cfg(test)]
mod tests;
