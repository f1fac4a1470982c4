//! Through which ops gradients flow, and which values must be kept for them.

use crate::op::{Binary, Op, Unary};
use crate::spec::Spec;

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
