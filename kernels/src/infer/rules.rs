//! The specs of each op's outputs: the entry, checks of scalars, and a line for each op.

use super::call::{Call, Specs};
use crate::fault::Fault;
use crate::op::{AdamW, Form, Loss, Misfit, Op};
use crate::spec::{DType, Shape, Spec};
use smallvec::{SmallVec, smallvec};
use std::fmt::Arguments;

/// Most Newton–Schulz steps of one op.
pub const MAX_NEWTON_SCHULZ_STEPS: usize = 64;

/// Specs of the outputs of `op` on `inputs`. In-place ops have none.
pub fn infer(op: &Op, inputs: &[&Spec]) -> Result<Specs, Fault> {
    let call = Call { op, inputs };
    call.operands()?;
    call.scalars()?;
    call.outputs()
}

impl Call<'_> {
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
            // Every value of the other scalars is allowed, or the rule for shapes checks it.
            _ => Ok(()),
        }
    }

    fn outputs(&self) -> Result<Specs, Fault> {
        let input = |i: usize| self.inputs[i];
        match self.op.form() {
            Form::Elements(_) => return self.same(),
            Form::Rows(..) => {
                self.with_last_axis()?;
                return self.same();
            }
            Form::Own => {}
        }
        Ok(match self.op {
            Op::Full { shape, .. } | Op::Uniform { shape, .. } | Op::Normal { shape, .. } => f32(shape.clone()),
            Op::Arange { len } => smallvec![Spec::u32(self.size(&[*len])?)],
            Op::Constant { shape, dtype } => of(shape.clone(), *dtype),
            Op::NextBatch { batch, seq, .. } => {
                let spec = Spec::u32(self.size(&[*batch, *seq])?);
                smallvec![spec.clone(), spec]
            }
            Op::Reshape { shape } => of(self.reshaped(shape)?, input(0).dtype),
            Op::Permute { axes } => of(self.permuted(axes)?, input(0).dtype),
            Op::Narrow { axis, start, len } => of(self.narrowed(*axis, *start, *len)?, input(0).dtype),
            Op::Pad { axis, before, after } => of(self.padded(*axis, *before, *after)?, input(0).dtype),
            Op::Cat { axis } => of(self.joined(*axis)?, input(0).dtype),
            Op::Expand { shape } => {
                self.repeats(&input(0).shape, shape)?;
                of(shape.clone(), input(0).dtype)
            }
            Op::Copy => smallvec![input(0).clone()],
            Op::Cast { to } => of(input(0).shape.clone(), *to),
            Op::Binary(_) => of(self.wide()?, input(0).dtype),
            Op::Compare(_) => of(self.wide()?, DType::Bool),
            Op::Select => of(self.wide()?, input(1).dtype),
            Op::Sum { axes, keep } | Op::Mean { axes, keep } | Op::Max { axes, keep } | Op::Min { axes, keep } => {
                f32(self.reduced(axes, *keep)?)
            }
            Op::ArgMax { axis } => smallvec![Spec::u32(self.reduced(&[*axis], false)?)],
            Op::ArgSort { .. } => smallvec![Spec::u32(self.with_last_axis()?.shape)],
            Op::CumSum { axis, .. } => {
                self.axis(*axis)?;
                smallvec![input(0).clone()]
            }
            Op::SumTo { shape } => {
                self.repeats(shape, &input(0).shape)?;
                f32(shape.clone())
            }
            Op::LogSumExp => self.per_row(DType::F32)?,
            Op::MatMul { transpose_a, transpose_b } => f32(self.product(*transpose_a, *transpose_b)?),
            Op::Embedding => self.embedding()?,
            Op::EmbeddingGrad { rows } => f32(self.embedding_gradient(*rows)?),
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
            other => return Err(Fault::Executor(format!("no rule tells the shape of {}", other.name()))),
        })
    }
}

fn of(shape: Shape, dtype: DType) -> Specs {
    smallvec![Spec { shape, dtype }]
}

fn f32(shape: Shape) -> Specs {
    of(shape, DType::F32)
}
