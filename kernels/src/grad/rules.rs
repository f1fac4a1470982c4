//! The rules: for each op whether gradients flow, which values are kept for them, and the ops that compute them.

use super::emit::{Done, Emit, Gradients, Rule};
use crate::fault::Fault;
use crate::op::{Attention, Binary, Compare, Op, TensorId, Unary};
use crate::spec::{DType, Shape, Spec};
use smallvec::{SmallVec, smallvec};

/// Tensors whose values the rule reads: bit i for input i, and for output i.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saves {
    /// Inputs.
    pub inputs: u8,
    /// Outputs.
    pub outputs: u8,
}

/// Whether gradients flow through the op to its operands: its result is a float and does not change in steps.
pub fn flows(op: &Op, result: &Spec) -> bool {
    let in_steps = matches!(op, Op::Unary(f) if f.is_step());
    result.dtype.is_float() && !in_steps
}

/// The values to keep so that the gradients of the `wanted` inputs can be computed later.
pub fn saves(op: &Op, wanted: &[bool]) -> Saves {
    let want = |i: usize| wanted.get(i) == Some(&true);
    let bit = |condition: bool, i: u8| u8::from(condition) << i;
    let (inputs, outputs) = match op {
        Op::Unary(Unary::Neg) => (0, 0),
        Op::Unary(_) => (1, 1),
        Op::Binary(Binary::Mul) | Op::MatMul { .. } => (bit(want(1), 0) | bit(want(0), 1), 0),
        Op::Binary(Binary::Div) => (2, bit(want(1), 0)),
        Op::Binary(Binary::Maximum | Binary::Minimum | Binary::Pow) => (3, 0),
        Op::Max { .. } | Op::Min { .. } => (1, 1),
        Op::Select => (1, 0),
        Op::Softcap { .. } | Op::Softmax => (0, 1),
        Op::Embedding | Op::Gather { .. } | Op::ScatterAdd { .. } => (2, 0),
        Op::LogSumExp | Op::RmsNorm { .. } | Op::LayerNorm { .. } => (1, 0),
        Op::Attention(_) => (7, 3),
        Op::CrossEntropy(_) => (3, 2),
        Op::LinearCrossEntropy { .. } => (0, bit(want(0), 2) | bit(want(1), 3)),
        // The gradient of the result is enough.
        Op::Binary(Binary::Add | Binary::Sub) | Op::Affine { .. } | Op::Sum { .. } | Op::Mean { .. } => (0, 0),
        Op::Copy | Op::Cast { .. } | Op::Reshape { .. } | Op::Permute { .. } | Op::Narrow { .. } => (0, 0),
        Op::Pad { .. } | Op::Cat { .. } | Op::Expand { .. } | Op::SumTo { .. } | Op::CumSum { .. } => (0, 0),
        Op::Rope { .. } => (0, 0),
        // There is no gradient.
        Op::Binary(Binary::Rem | Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr) => (0, 0),
        Op::Full { .. } | Op::Arange { .. } | Op::Constant { .. } | Op::Uniform { .. } => (0, 0),
        Op::Normal { .. } | Op::NextBatch { .. } | Op::Compare(_) | Op::ArgMax { .. } => (0, 0),
        Op::ArgSort { .. } | Op::NewtonSchulz { .. } => (0, 0),
        Op::Assign | Op::Blend { .. } | Op::AdamW(_) => (0, 0),
        Op::UnaryGrad(_) | Op::ChosenGrad(_) | Op::SoftcapGrad { .. } | Op::SoftmaxGrad => (0, 0),
        Op::EmbeddingGrad { .. } | Op::RmsNormGrad { .. } | Op::LayerNormGrad { .. } => (0, 0),
        Op::AttentionGrad(_) | Op::CrossEntropyGrad(_) | Op::PowGrad { .. } => (0, 0),
    };
    Saves { inputs, outputs }
}

/// Emits the gradients of the `wanted` inputs, given the gradient `dy` of the first output (lent, not given).
pub fn gradients(done: Done<'_>, dy: TensorId, wanted: &[bool], emit: &mut dyn Emit) -> Result<Gradients, Fault> {
    Rule { done, dy, wanted, emit }.apply()
}

impl Rule<'_> {
    /// Moves of values; the next functions have the other ops.
    fn apply(&mut self) -> Result<Gradients, Fault> {
        let Done { op, .. } = self.done;
        let dy = self.dy;
        match op {
            Op::Copy | Op::Cast { .. } => Ok(smallvec![Some(self.emit.share(dy))]),
            Op::Reshape { .. } => self.only(Op::Reshape { shape: self.shape(0) }, &[dy]),
            Op::Permute { axes } => {
                let mut inverse = axes.clone();
                for (to, &from) in (0u32..).zip(axes) {
                    inverse[from as usize] = to;
                }
                self.only(Op::Permute { axes: inverse }, &[dy])
            }
            Op::Narrow { axis, start, len } => {
                let size = self.done.specs[0].shape.dims()[*axis as usize];
                self.only(Op::Pad { axis: *axis, before: *start, after: size - start - len }, &[dy])
            }
            Op::Pad { axis, before, .. } => {
                let len = self.done.specs[0].shape.dims()[*axis as usize];
                self.only(Op::Narrow { axis: *axis, start: *before, len }, &[dy])
            }
            Op::Cat { axis } => self.cat(*axis),
            Op::Expand { .. } => self.only(Op::SumTo { shape: self.shape(0) }, &[dy]),
            Op::SumTo { .. } => self.only(Op::Expand { shape: self.shape(0) }, &[dy]),
            _ => self.arithmetic(),
        }
    }

    /// Elementwise functions and reductions.
    fn arithmetic(&mut self) -> Result<Gradients, Fault> {
        let Done { op, inputs, outputs, .. } = self.done;
        let dy = self.dy;
        match op {
            Op::Unary(Unary::Neg) => self.only(Op::Unary(Unary::Neg), &[dy]),
            Op::Unary(f) => self.only(Op::UnaryGrad(*f), &[inputs[0], outputs[0], dy]),
            Op::Binary(f) => self.binary(*f),
            Op::Affine { mul, .. } if *mul == 1.0 => Ok(smallvec![Some(self.emit.share(dy))]),
            Op::Affine { mul, .. } => self.only(Op::Affine { mul: *mul, add: 0.0 }, &[dy]),
            Op::Softcap { cap } => self.only(Op::SoftcapGrad { cap: *cap }, &[outputs[0], dy]),
            Op::Sum { axes, .. } => self.spread(axes, None),
            Op::Mean { axes, .. } => {
                let dims = self.done.specs[0].shape.dims();
                let count: u64 = axes.iter().map(|&axis| u64::from(dims[axis as usize])).product();
                self.spread(axes, Some(1.0 / count as f32))
            }
            Op::Select => self.select(),
            Op::Max { axes, .. } | Op::Min { axes, .. } => self.extremes(axes),
            Op::CumSum { axis, reverse } => self.only(Op::CumSum { axis: *axis, reverse: !reverse }, &[dy]),
            Op::LogSumExp => {
                let p = self.one(Op::Softmax, &[inputs[0]])?;
                let rows = self.kept(&[self.done.specs[0].shape.rank() as u32 - 1])?;
                let each = self.one(Op::Reshape { shape: rows }, &[dy])?;
                Ok(smallvec![Some(self.times(p, each)?)])
            }
            Op::Softmax => self.only(Op::SoftmaxGrad, &[outputs[0], dy]),
            _ => self.network(),
        }
    }

    /// Products, lookups, norms, attention, loss.
    fn network(&mut self) -> Result<Gradients, Fault> {
        let Done { op, inputs, outputs, .. } = self.done;
        let dy = self.dy;
        match op {
            Op::MatMul { transpose_a, transpose_b } => self.matmul(*transpose_a, *transpose_b),
            Op::Embedding => {
                let rows = self.done.specs[0].shape.dims()[0];
                let table = self.one(Op::EmbeddingGrad { rows }, &[inputs[1], dy])?;
                Ok(smallvec![Some(table), None])
            }
            Op::Gather { axis } => {
                let zeros = self.one(Op::Full { shape: self.shape(0), value: 0.0 }, &[])?;
                let x = self.one(Op::ScatterAdd { axis: *axis }, &[zeros, inputs[1], dy])?;
                self.emit.release(zeros);
                Ok(smallvec![Some(x), None])
            }
            Op::ScatterAdd { axis } => {
                let x = if self.wanted[0] { Some(self.emit.share(dy)) } else { None };
                let picked = Op::Gather { axis: *axis };
                let values = if self.wanted[2] { Some(self.one(picked, &[dy, inputs[1]])?) } else { None };
                Ok(smallvec![x, None, values])
            }
            Op::LayerNorm { eps } => self.only(Op::LayerNormGrad { eps: *eps }, &[inputs[0], dy]),
            Op::RmsNorm { eps } => self.only(Op::RmsNormGrad { eps: *eps }, &[inputs[0], dy]),
            Op::Rope { base, inverse } => self.only(Op::Rope { base: *base, inverse: !inverse }, &[dy]),
            Op::Attention(how) => self.attention(*how),
            Op::CrossEntropy(loss) => {
                let logits = self.one(Op::CrossEntropyGrad(*loss), &[inputs[0], inputs[1], outputs[1], dy])?;
                Ok(smallvec![Some(logits), None])
            }
            Op::LinearCrossEntropy { gradients: true, .. } => {
                let mut scaled: Gradients = smallvec![None, None, None];
                for i in (0..2).filter(|i| self.wanted[*i]) {
                    scaled[i] = Some(self.one(Op::Binary(Binary::Mul), &[outputs[i + 2], dy])?);
                }
                Ok(scaled)
            }
            _ => Err(Fault::NoGradient { op: op.name() }),
        }
    }

    fn cat(&mut self, axis: u32) -> Result<Gradients, Fault> {
        let (dy, wanted, specs) = (self.dy, self.wanted, self.done.specs);
        let mut start = 0;
        let mut parts = Gradients::new();
        for (spec, &wanted) in specs.iter().zip(wanted) {
            let len = spec.shape.dims()[axis as usize];
            parts.push(if wanted { Some(self.one(Op::Narrow { axis, start, len }, &[dy])?) } else { None });
            start += len;
        }
        Ok(parts)
    }

    /// Each of a maximum's equals takes its share: mask · dy / number of equals.
    fn extremes(&mut self, axes: &[u32]) -> Result<Gradients, Fault> {
        let kept = self.kept(axes)?;
        let y = self.one(Op::Reshape { shape: kept.clone() }, &[self.done.outputs[0]])?;
        let equal = self.one(Op::Compare(Compare::Eq), &[self.done.inputs[0], y])?;
        self.emit.release(y);
        let mask = self.then(Op::Cast { to: DType::F32 }, equal)?;
        let count = self.one(Op::Sum { axes: SmallVec::from_slice(axes), keep: true }, &[mask])?;
        let dy = self.one(Op::Reshape { shape: kept }, &[self.dy])?;
        let share = self.one(Op::Binary(Binary::Div), &[dy, count])?;
        self.emit.release(dy);
        self.emit.release(count);
        Ok(smallvec![Some(self.times(mask, share)?)])
    }

    /// The gradient goes where the value came from.
    fn select(&mut self) -> Result<Gradients, Fault> {
        let (condition, dy) = (self.done.inputs[0], self.dy);
        let mut gradients: Gradients = smallvec![None, None, None];
        let wide = self.wide()?;
        let zero = self.one(Op::Full { shape: Shape::scalar(), value: 0.0 }, &[])?;
        for input in (1..3).filter(|i| self.wanted[*i]) {
            let operands = if input == 1 { [condition, dy, zero] } else { [condition, zero, dy] };
            let full = self.one(Op::Select, &operands)?;
            gradients[input] = Some(self.reduced(full, &wide, input)?);
        }
        self.emit.release(zero);
        Ok(gradients)
    }

    /// Gradient of a sum over `axes`, times `scale`: repeated along them.
    fn spread(&mut self, axes: &[u32], scale: Option<f32>) -> Result<Gradients, Fault> {
        let shape = self.shape(0);
        let mut x = self.one(Op::Reshape { shape: self.kept(axes)? }, &[self.dy])?;
        if let Some(mul) = scale {
            x = self.then(Op::Affine { mul, add: 0.0 }, x)?;
        }
        Ok(smallvec![Some(self.then(Op::Expand { shape }, x)?)])
    }

    fn binary(&mut self, f: Binary) -> Result<Gradients, Fault> {
        let (a, b) = (self.done.inputs[0], self.done.inputs[1]);
        let dy = self.dy;
        let wide = self.wide()?;
        let mut gradients: Gradients = smallvec![None, None];
        match f {
            Binary::Maximum | Binary::Minimum => return self.chosen(f, &wide),
            Binary::Pow => return self.power(&wide),
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div => {}
            Binary::Rem | Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => {
                return Err(Fault::NoGradient { op: f.name() });
            }
        }
        if self.wanted[0] {
            let full = match f {
                Binary::Mul => self.one(Op::Binary(Binary::Mul), &[dy, b])?,
                Binary::Div => self.one(Op::Binary(Binary::Div), &[dy, b])?,
                _ => self.emit.share(dy),
            };
            gradients[0] = Some(self.reduced(full, &wide, 0)?);
        }
        if self.wanted[1] {
            let full = match f {
                Binary::Mul => self.one(Op::Binary(Binary::Mul), &[dy, a])?,
                Binary::Div => {
                    let t = self.one(Op::Binary(Binary::Div), &[dy, b])?;
                    let product = self.one(Op::Binary(Binary::Mul), &[t, self.done.outputs[0]])?;
                    self.emit.release(t);
                    product
                }
                _ => self.emit.share(dy),
            };
            let sum = self.reduced(full, &wide, 1)?;
            let negative = matches!(f, Binary::Sub | Binary::Div);
            gradients[1] = Some(if negative { self.then(Op::Unary(Unary::Neg), sum)? } else { sum });
        }
        Ok(gradients)
    }

    /// The larger or smaller operand takes the whole gradient; what `a` does not take is `b`'s.
    fn chosen(&mut self, f: Binary, wide: &Shape) -> Result<Gradients, Fault> {
        let dy = self.dy;
        let operands = self.expanded(wide)?;
        let da = self.one(Op::ChosenGrad(f), &[operands[0], operands[1], dy])?;
        for x in operands {
            self.emit.release(x);
        }
        let mut gradients: Gradients = smallvec![None, None];
        if self.wanted[1] {
            let db = self.one(Op::Binary(Binary::Sub), &[dy, da])?;
            gradients[1] = Some(self.reduced(db, wide, 1)?);
        }
        if self.wanted[0] {
            gradients[0] = Some(self.reduced(da, wide, 0)?);
        } else {
            self.emit.release(da);
        }
        Ok(gradients)
    }

    /// Both operands in the shape of the result, owned.
    fn expanded(&mut self, wide: &Shape) -> Result<[TensorId; 2], Fault> {
        let mut operands = [self.done.inputs[0], self.done.inputs[1]];
        for (input, x) in operands.iter_mut().enumerate() {
            *x = if self.shape(input) == *wide {
                self.emit.share(*x)
            } else {
                self.one(Op::Expand { shape: wide.clone() }, &[*x])?
            };
        }
        Ok(operands)
    }

    fn power(&mut self, wide: &Shape) -> Result<Gradients, Fault> {
        let operands = self.expanded(wide)?;
        let mut gradients: Gradients = smallvec![None, None];
        for input in (0..2).filter(|i| self.wanted[*i]) {
            let full = self.one(Op::PowGrad { exponent: input == 1 }, &[operands[0], operands[1], self.dy])?;
            gradients[input] = Some(self.reduced(full, wide, input)?);
        }
        operands.into_iter().for_each(|x| self.emit.release(x));
        Ok(gradients)
    }

    fn attention(&mut self, how: Attention) -> Result<Gradients, Fault> {
        let (&[q, k, v], &[y, lse]) = (self.done.inputs, self.done.outputs) else {
            return Err(Fault::NoGradient { op: self.done.op.name() });
        };
        let made = self.emit.emit(Op::AttentionGrad(how), &[q, k, v, y, lse, self.dy])?;
        let mut gradients = Gradients::new();
        for (&id, &wanted) in made.iter().zip(self.wanted) {
            if !wanted {
                self.emit.release(id);
            }
            gradients.push(wanted.then_some(id));
        }
        Ok(gradients)
    }
}
