//! What each op's results are made of: a line for each op.

use super::call::Call;
use super::cell::Cell;
use super::cells::{Cells, Traced, sizes};
use super::known;
use super::trace::{Stop, Trace};
use crate::op::Op;
use crate::spec::{DType, Values};
use smallvec::{SmallVec, smallvec};

/// What one op makes.
pub type Made = SmallVec<[Traced; 3]>;

impl Call<'_> {
    /// The results of the op. `data` are values that come with its record.
    pub fn made(&self, trace: &mut Trace, data: Option<&Values>) -> Result<Made, Stop> {
        if let Some(made) = self.computed(trace)? {
            return Ok(made);
        }
        let spec = |place: usize| self.outputs[place].clone();
        let one = match self.op {
            Op::Full { value, .. } => Traced::uniform(spec(0), Cell::Known(u64::from(value.to_bits()))),
            Op::Arange { len } => known::constant(&spec(0), &Values::U32((0..*len).collect())),
            Op::Constant { .. } => match data {
                Some(values) if Trace::holds(&sizes(&spec(0))) => known::constant(&spec(0), values),
                _ => Traced::uniform(spec(0), Cell::Free),
            },
            Op::Uniform { .. } | Op::Normal { .. } => Traced::uniform(spec(0), Cell::Free),

            Op::Reshape { .. } => self.reshape(trace)?,
            Op::Permute { axes } => self.permute(trace, axes)?,
            Op::Narrow { axis, start, len } => self.narrow(trace, *axis, *start, *len)?,
            Op::Pad { axis, before, after } => self.pad(trace, *axis, *before, *after)?,
            Op::Cat { axis } => self.cat(trace, *axis)?,
            Op::Expand { .. } => self.expand(),
            Op::Copy => self.result(0, self.inputs[0].cells.clone()),

            Op::Unary(_)
            | Op::Binary(_)
            | Op::Affine { .. }
            | Op::Softcap { .. }
            | Op::Cast { .. }
            | Op::Compare(_)
            | Op::Select => self.elementwise(trace)?,

            Op::Sum { axes, .. } | Op::Mean { axes, .. } => self.reduced(trace, axes, true)?,
            Op::Max { axes, .. } | Op::Min { axes, .. } => self.reduced(trace, axes, false)?,
            Op::ArgMax { axis } => self.reduced(trace, &[*axis], false)?,
            Op::LogSumExp => self.reduced(trace, &[self.inputs[0].spec.shape.rank() as u32 - 1], false)?,
            Op::SumTo { .. } => self.sum_to(trace)?,
            Op::CumSum { axis, reverse } => self.running_sum(trace, *axis, *reverse)?,
            Op::Softmax => self.softmax(trace)?,
            Op::RmsNorm { .. } | Op::LayerNorm { .. } | Op::Rope { .. } | Op::ArgSort { .. } => self.rows(trace)?,
            Op::NewtonSchulz { .. } => {
                let rank = self.inputs[0].spec.shape.rank();
                let cells = self.all_along(trace, |axis| axis + 2 >= rank)?;
                self.result(0, cells)
            }

            Op::MatMul { transpose_a, transpose_b } => self.product(trace, *transpose_a, *transpose_b)?,
            Op::Attention(how) => return self.attention(trace, *how),
            Op::Embedding => self.embedding(trace)?,
            Op::Gather { axis } => self.gather(trace, *axis)?,
            Op::ScatterAdd { axis } => self.scatter_add(trace, *axis)?,

            // What follows is not called in `forward`, or is of no use for logits: its elements are made of all.
            Op::NextBatch { .. }
            | Op::UnaryGrad(_)
            | Op::ChosenGrad(_)
            | Op::SoftcapGrad { .. }
            | Op::SoftmaxGrad
            | Op::EmbeddingGrad { .. }
            | Op::RmsNormGrad { .. }
            | Op::AttentionGrad(_)
            | Op::CrossEntropy(_)
            | Op::CrossEntropyGrad(_)
            | Op::Assign
            | Op::Blend { .. }
            | Op::AdamW(_)
            | Op::LayerNormGrad { .. }
            | Op::PowGrad { .. }
            | Op::LinearCrossEntropy { .. } => {
                return self.outputs.iter().map(|spec| trace.coarse(self.inputs, spec)).collect();
            }
        };
        Ok(smallvec![one])
    }

    /// The results where every operand is known. Elementwise ops compute single elements, and those that only move
    /// elements need not compute.
    fn computed(&self, trace: &mut Trace) -> Result<Option<Made>, Stop> {
        let computes = matches!(
            self.op,
            Op::Sum { .. }
                | Op::Mean { .. }
                | Op::SumTo { .. }
                | Op::Max { .. }
                | Op::Min { .. }
                | Op::ArgMax { .. }
                | Op::ArgSort { .. }
                | Op::CumSum { .. }
                | Op::Softmax
                | Op::LogSumExp
                | Op::MatMul { .. }
                | Op::Embedding
                | Op::Gather { .. }
                | Op::ScatterAdd { .. }
                | Op::RmsNorm { .. }
                | Op::LayerNorm { .. }
                | Op::Rope { .. }
        );
        let fits = || {
            let operands = self.inputs.iter().map(|input| &input.spec);
            operands.chain(self.outputs).all(|spec| Trace::holds(&sizes(spec)))
        };
        if !computes || !self.inputs.iter().all(|input| input.is_known()) || !fits() {
            return Ok(None);
        }
        let operands: Vec<_> = self.inputs.iter().map(|input| (input.spec.clone(), known::of(input))).collect();
        trace.visit(operands.iter().map(|(_, values)| values.len()).sum())?;
        let Some(made) = trace.execute(self.op, &operands, self.outputs)? else {
            return self
                .outputs
                .iter()
                .map(|spec| Ok(Traced::uniform(spec.clone(), Cell::ANYTHING)))
                .collect::<Result<_, _>>()
                .map(Some);
        };
        Ok(Some(self.outputs.iter().zip(&made).map(|(spec, values)| known::constant(spec, values)).collect()))
    }
}

/// The tokens of each row and position.
pub fn tokens(rows: u32, time: u32, spec: &crate::spec::Spec) -> Traced {
    let data = (0..rows).flat_map(|row| (0..time).map(move |position| Cell::token(row, position))).collect();
    debug_assert_eq!(spec.dtype, DType::U32);
    let cells = Cells::whole(sizes(spec), data);
    Traced { spec: spec.clone(), cells, placed: false, stored: false }
}
