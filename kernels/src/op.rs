//! Op records: the currency between guest calls and execution. An op is a kind with its scalar operands; a record adds
//! the ids of what it reads and writes. What each op means is defined here in words and formulas; shapes are in
//! [`crate::infer`], prices in [`crate::cost`], gradients in [`crate::grad`], arithmetic in [`crate::cpu`].

use crate::spec::{Shape, Values};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Names a tensor within one session: counted from 0 in order of creation, so that ids are the same in every run of
/// the same op stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TensorId(pub u64);

/// Elementwise functions of one operand. Discriminants are part of canonical encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Unary {
    /// −x
    Neg = 0,
    /// e^x
    Exp = 1,
    /// natural logarithm
    Log = 2,
    /// √x
    Sqrt = 3,
    /// 1/√x
    Rsqrt = 4,
    /// x²
    Square = 5,
    /// |x|
    Abs = 6,
    /// sine
    Sin = 7,
    /// cosine
    Cos = 8,
    /// hyperbolic tangent
    Tanh = 9,
    /// 1/(1+e^−x)
    Sigmoid = 10,
    /// max(x, 0)
    Relu = 11,
    /// max(x, 0)²
    ReluSquared = 12,
    /// 0.5 x (1 + tanh(√(2/π)(x + 0.044715 x³)))
    Gelu = 13,
    /// x·sigmoid(x)
    Silu = 14,
}

/// Elementwise functions of two operands, which broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Binary {
    /// a + b
    Add = 0,
    /// a − b
    Sub = 1,
    /// a · b
    Mul = 2,
    /// a / b
    Div = 3,
    /// the larger; NaN if either is NaN; gradient to `a` on a tie
    Max = 4,
    /// the smaller; NaN if either is NaN; gradient to `a` on a tie
    Min = 5,
}

/// Constants of an AdamW step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled: x ← x − lr·weight_decay·x.
    pub weight_decay: f32,
    /// Counted from 1; corrects the moments' bias.
    pub step: u32,
}

/// An operation and its scalar operands. The order of the variants is the order of their codes in the canonical
/// encoding: add at the end only.
#[allow(missing_docs, reason = "each variant's line names its operands")]
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// () → `shape`, every element `value`.
    Full { shape: Shape, value: f32 },
    /// () → `[len]` u32: 0, 1, …
    Arange { len: u32 },
    /// () → `shape`: values that come with the record ([`Record::data`]), f32 or u32 by `data`'s kind.
    Constant { shape: Shape, u32: bool },
    /// () → `shape`: uniform in [low, high), Philox 4×32-10 at (`stream`, `position`).
    Uniform { shape: Shape, low: f32, high: f32, stream: u32, position: u64 },
    /// () → `shape`: normal, Box–Muller over the same generator.
    Normal { shape: Shape, mean: f32, std: f32, stream: u32, position: u64 },
    /// () → tokens [batch, seq] u32, targets [batch, seq] u32; `drawn` tokens were drawn before. Values come with the
    /// record: batch·seq tokens, then as many targets.
    NextBatch { batch: u32, seq: u32, drawn: u64 },

    /// x → same elements, other shape.
    Reshape { shape: Shape },
    /// x → output axis i is input axis `axes[i]`.
    Permute { axes: SmallVec<[u32; 4]> },
    /// x → `len` of the axis from `start`.
    Narrow { axis: u32, start: u32, len: u32 },
    /// x → zeros before and after along the axis (Narrow's gradient).
    Pad { axis: u32, before: u32, after: u32 },
    /// x₁, x₂, … → joined along the axis.
    Cat { axis: u32 },
    /// x → axes of size 1 repeated, leading axes added.
    Expand { shape: Shape },

    /// x → f(x).
    Unary(Unary),
    /// x, y = f(x), dy → dx.
    UnaryGrad(Unary),
    /// a, b → f(a, b), broadcast.
    Binary(Binary),
    /// a, b, dy (all of one shape) → da for `Max` and `Min`: dy where a was chosen, else 0.
    ChosenGrad(Binary),
    /// x → x·mul + add (one fused multiply-add).
    Affine { mul: f32, add: f32 },
    /// x → cap·tanh(x/cap).
    Softcap { cap: f32 },
    /// y = softcap(x), dy → dy·(1 − (y/cap)²).
    SoftcapGrad { cap: f32 },

    /// x → sum over `axes` (sorted, distinct), which keep size 1 where `keep`.
    Sum { axes: SmallVec<[u32; 4]>, keep: bool },
    /// x → mean over `axes`.
    Mean { axes: SmallVec<[u32; 4]>, keep: bool },
    /// x → `shape`, summing what broadcasting from `shape` to x's shape repeated.
    SumTo { shape: Shape },
    /// x → softmax over the last axis.
    Softmax,
    /// y = softmax(x), dy → dx.
    SoftmaxGrad,

    /// a, b → product over the last two axes, each transposed first where flagged; `b` of rank 2 serves every leading
    /// index of `a`.
    MatMul { transpose_a: bool, transpose_b: bool },

    /// table [n, d], indices [..] u32 → [.., d]. An index ≥ n is a fault at execution.
    Embedding,
    /// indices, dy [.., d] → [rows, d], dy's rows added in the order of the indices.
    EmbeddingGrad { rows: u32 },

    /// x → x / √(mean(x²) + eps), over the last axis.
    RmsNorm { eps: f32 },
    /// x, dy → dx.
    RmsNormGrad { eps: f32 },
    /// x [b, t, h, d] → rotated by t·base^(−2j/d); `inverse` by the opposite angle.
    Rope { base: f32, inverse: bool },
    /// q `[b,t,h,d]`, k, v `[b,t,g,d]` → y `[b,t,h,d]`, logsumexp `[b,h,t]`.
    Attention { window: u32, scale: f32 },
    /// q, k, v, y, logsumexp, dy → dq, dk, dv.
    AttentionGrad { window: u32, scale: f32 },
    /// logits [.., v], targets [..] → mean negative log-likelihood [], logsumexp per row [..]. Softcap first if > 0.
    CrossEntropy { softcap: f32 },
    /// logits, targets, logsumexp, dy [] → dlogits.
    CrossEntropyGrad { softcap: f32 },
    /// x → orthogonalised last two axes (quintic Newton–Schulz, 3.4445, −4.7750, 2.0315).
    NewtonSchulz { steps: u32 },

    /// x, value: x ← value, in place.
    Assign,
    /// x, value: x ← keep·x + scale·value, in place.
    Blend { keep: f32, scale: f32 },
    /// x, grad, m, v: in place.
    AdamW(AdamW),

    /// x → the same values in a tensor of its own: a first value of a slot, or a tensor outside the graph.
    Copy,
}

impl Op {
    /// The operation's name as the contract spells it; gradients, which only the host submits, add "-gradient".
    pub fn name(&self) -> &'static str {
        match self {
            Op::Full { .. } => "full",
            Op::Arange { .. } => "arange",
            Op::Constant { u32: false, .. } => "from-f32",
            Op::Constant { u32: true, .. } => "from-u32",
            Op::Uniform { .. } => "uniform",
            Op::Normal { .. } => "normal",
            Op::NextBatch { .. } => "next-batch",
            Op::Reshape { .. } => "reshape",
            Op::Permute { .. } => "permute",
            Op::Narrow { .. } => "narrow",
            Op::Pad { .. } => "narrow-gradient",
            Op::Cat { .. } => "cat",
            Op::Expand { .. } => "expand",
            Op::Unary(f) => f.name(),
            Op::UnaryGrad(_) => "unary-gradient",
            Op::Binary(f) => f.name(),
            Op::ChosenGrad(_) => "binary-gradient",
            Op::Affine { .. } => "affine",
            Op::Softcap { .. } => "softcap",
            Op::SoftcapGrad { .. } => "softcap-gradient",
            Op::Sum { .. } => "sum",
            Op::Mean { .. } => "mean",
            Op::SumTo { .. } => "expand-gradient",
            Op::Softmax => "softmax",
            Op::SoftmaxGrad => "softmax-gradient",
            Op::MatMul { .. } => "matmul",
            Op::Embedding => "embedding",
            Op::EmbeddingGrad { .. } => "embedding-gradient",
            Op::RmsNorm { .. } => "rms-norm",
            Op::RmsNormGrad { .. } => "rms-norm-gradient",
            Op::Rope { inverse: false, .. } => "rope",
            Op::Rope { inverse: true, .. } => "rope-gradient",
            Op::Attention { .. } => "attention",
            Op::AttentionGrad { .. } => "attention-gradient",
            Op::CrossEntropy { .. } => "cross-entropy",
            Op::CrossEntropyGrad { .. } => "cross-entropy-gradient",
            Op::NewtonSchulz { .. } => "newton-schulz",
            Op::Assign => "assign",
            Op::Blend { .. } => "blend",
            Op::AdamW(_) => "adamw-step",
            Op::Copy => "copy",
        }
    }

    /// Positions of the inputs that the op writes; empty for pure ops.
    pub fn written(&self) -> &'static [usize] {
        match self {
            Op::Assign | Op::Blend { .. } => &[0],
            Op::AdamW(_) => &[0, 2, 3],
            _ => &[],
        }
    }
}

impl Unary {
    /// Every function, in order of code.
    pub const ALL: [Unary; 15] = [
        Unary::Neg,
        Unary::Exp,
        Unary::Log,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Square,
        Unary::Abs,
        Unary::Sin,
        Unary::Cos,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::Relu,
        Unary::ReluSquared,
        Unary::Gelu,
        Unary::Silu,
    ];

    /// The function's name as the contract spells it.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Square => "square",
            Unary::Abs => "abs",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tanh => "tanh",
            Unary::Sigmoid => "sigmoid",
            Unary::Relu => "relu",
            Unary::ReluSquared => "relu-squared",
            Unary::Gelu => "gelu",
            Unary::Silu => "silu",
        }
    }
}

impl Binary {
    /// The function's name as the contract spells it.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Max => "max",
            Binary::Min => "min",
        }
    }
}

/// One op with what it reads and writes. In-place ops write their first input (AdamW also its third and fourth) and
/// have no outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What to do.
    pub op: Op,
    /// What it reads.
    pub inputs: SmallVec<[TensorId; 4]>,
    /// What it makes.
    pub outputs: SmallVec<[TensorId; 2]>,
    /// Values that come from outside: [`Op::Constant`] and [`Op::NextBatch`].
    pub data: Option<Arc<Values>>,
}
