//! Op records: the currency between guest calls and execution. An op is a kind with its scalar operands; a record adds
//! the ids of what it reads and writes. What each op means is defined here in words and formulas; shapes are in
//! [`crate::infer`], prices in [`crate::cost`], gradients in [`crate::grad`], arithmetic in [`crate::cpu`].

use crate::spec::{DType, Shape, Values};
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
    /// −1, 0 or 1: ±0 give 0, NaN gives NaN; no gradient flows
    Sign = 15,
    /// the largest integer that is not above x; no gradient flows
    Floor = 16,
    /// the smallest integer that is not below x; no gradient flows
    Ceil = 17,
    /// the nearest integer, ties to even; no gradient flows
    Round = 18,
}

/// Elementwise functions of two operands of one dtype, which broadcast. f32, u8, u32 and i64 unless they say
/// otherwise; integers wrap around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Binary {
    /// a + b
    Add = 0,
    /// a − b
    Sub = 1,
    /// a · b
    Mul = 2,
    /// a / b; of integers rounded down, and 0 where b is 0
    Div = 3,
    /// the larger; NaN if either is NaN; gradient to `a` on a tie
    Maximum = 4,
    /// the smaller; NaN if either is NaN; gradient to `a` on a tie
    Minimum = 5,
    /// a^b of f32, within 2 ulp: NaN where a is finite and below 0 and b is no integer; 1 where b = 0 or a = 1
    Pow = 6,
    /// a − b·⌊a/b⌋ of integers: the sign is b's, and 0 where b is 0
    Rem = 7,
    /// a & b of integers or bool
    And = 8,
    /// a | b of integers or bool
    Or = 9,
    /// a ^ b of integers or bool
    Xor = 10,
    /// a·2^b of integers; a count that is negative or not below the width shifts everything out
    Shl = 11,
    /// ⌊a/2^b⌋ of integers; a count that is negative or not below the width shifts everything out
    Shr = 12,
}

/// Comparisons of two operands of one dtype, which broadcast: f32, u8, u32, i64, and bool for equality. NaN differs
/// from everything and is not ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Compare {
    /// a = b
    Eq = 0,
    /// a ≠ b
    Ne = 1,
    /// a < b
    Lt = 2,
    /// a ≤ b
    Le = 3,
    /// a > b
    Gt = 4,
    /// a ≥ b
    Ge = 5,
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
    /// () → `shape`: values that come with the record ([`Record::data`]): f32, u32 or i64.
    Constant { shape: Shape, dtype: DType },
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
    /// x → zeros before and after along the axis.
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
    /// a, b, dy (all of one shape) → da for `Maximum` and `Minimum`: dy where a was chosen, else 0.
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
    Attention(Attention),
    /// q, k, v, y, logsumexp, dy → dq, dk, dv.
    AttentionGrad(Attention),
    /// logits [.., v], targets [..] → mean loss [], logsumexp per row [..].
    CrossEntropy(Loss),
    /// logits, targets, logsumexp, dy [] → dlogits.
    CrossEntropyGrad(Loss),
    /// x → x/(|x| + 1e−7) over the last two axes, then for each (a, b, c): x ← a·x + (b·G + c·G²)·x with G = x·xᵀ.
    NewtonSchulz { coefficients: Vec<[f32; 3]> },

    /// x, value: x ← value, in place.
    Assign,
    /// x, value: x ← keep·x + scale·value, in place.
    Blend { keep: f32, scale: f32 },
    /// x, grad, m, v: in place.
    AdamW(AdamW),

    /// x → the same values in a tensor of its own: a first value of a slot, or a tensor outside the graph.
    Copy,

    /// x → the nearest values of another dtype. To floats: ties to even, beyond the range ±∞. Float to integer: towards
    /// zero, beyond the range its end, NaN gives 0. Integer to integer: the low bits. To bool: x ≠ 0 (NaN is true).
    /// Between bf16 or f16 and integers: through f32.
    Cast { to: DType },
    /// a, b → bool, broadcast.
    Compare(Compare),
    /// condition (bool), a, b → a where the condition holds, else b; all three broadcast.
    Select,
    /// x → the largest over `axes`; NaN if any is NaN. The gradient is shared equally among equals.
    Max { axes: SmallVec<[u32; 4]>, keep: bool },
    /// x → the smallest over `axes`; NaN if any is NaN. The gradient is shared equally among equals.
    Min { axes: SmallVec<[u32; 4]>, keep: bool },
    /// x → u32: the first place of the largest along the axis, which goes. NaN is above every number.
    ArgMax { axis: u32 },
    /// x → u32: the places of the last axis in rising (or falling) order of value. Equal values keep their order; NaN
    /// is above every number, −0 equals 0.
    ArgSort { descending: bool },
    /// x → sums of what comes before along the axis, itself included; from the end where `reverse`.
    CumSum { axis: u32, reverse: bool },
    /// x [.., n] → ln Σ e^x [..].
    LogSumExp,
    /// x, indices (u32, of x's sizes but along the axis) → x at the index along the axis: the shape of the indices.
    Gather { axis: u32 },
    /// x, indices (u32), values (of the indices' shape) → x with each value added at its index along the axis, in order
    /// along the axis.
    ScatterAdd { axis: u32 },
    /// x → (x − mean) / √(variance + eps), over the last axis.
    LayerNorm { eps: f32 },
    /// x, dy → dx.
    LayerNormGrad { eps: f32 },
    /// a, b, dy (all of one shape) → dy·b·a^(b−1), 0 where b = 0; or, for the `exponent`, dy·a^b·ln a, 0 where a = 0 ≤ b.
    PowGrad { exponent: bool },
    /// x [.., d], weight [v, d], targets [..] → the [`Op::CrossEntropy`] of logits x·weightᵀ, which are never held
    /// whole; and where `gradients`, dx and dweight for a loss whose gradient is 1.
    LinearCrossEntropy { loss: Loss, gradients: bool },
}

/// What positions see of each other, and how much it counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Position i sees none after itself.
    pub causal: bool,
    /// Position i sees positions nearer than this, itself included; 0 sees any distance.
    pub window: u32,
    /// Factor of the scores.
    pub scale: f32,
}

/// Scalars of a cross-entropy: per row −ln softmax(z)[target] + z_loss·logsumexp(z)², z the capped logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// z = softcap·tanh(logits/softcap) where above 0, else z = logits.
    pub softcap: f32,
    /// Weight of the squared logsumexp; 0 for none.
    pub z_loss: f32,
}

impl Op {
    /// The operation's name as the contract spells it; gradients, which only the host submits, add "-gradient".
    pub fn name(&self) -> &'static str {
        match self {
            Op::Full { .. } => "full",
            Op::Arange { .. } => "arange",
            Op::Constant { dtype: DType::U32, .. } => "from-u32",
            Op::Constant { dtype: DType::I64, .. } => "from-i64",
            Op::Constant { .. } => "from-f32",
            Op::Uniform { .. } => "uniform",
            Op::Normal { .. } => "normal",
            Op::NextBatch { .. } => "next-batch",
            Op::Reshape { .. } => "reshape",
            Op::Permute { .. } => "permute",
            Op::Narrow { .. } => "narrow",
            Op::Pad { .. } => "pad",
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
            Op::Attention(_) => "attention",
            Op::AttentionGrad(_) => "attention-gradient",
            Op::CrossEntropy(_) => "cross-entropy",
            Op::CrossEntropyGrad(_) => "cross-entropy-gradient",
            Op::NewtonSchulz { .. } => "newton-schulz",
            Op::Assign => "assign",
            Op::Blend { .. } => "blend",
            Op::AdamW(_) => "adamw-step",
            Op::Copy => "copy",
            Op::Cast { .. } => "cast",
            Op::Compare(f) => f.name(),
            Op::Select => "select",
            Op::Max { .. } => "max",
            Op::Min { .. } => "min",
            Op::ArgMax { .. } => "argmax",
            Op::ArgSort { .. } => "argsort",
            Op::CumSum { .. } => "cumsum",
            Op::LogSumExp => "logsumexp",
            Op::Gather { .. } => "gather",
            Op::ScatterAdd { .. } => "scatter-add",
            Op::LayerNorm { .. } => "layer-norm",
            Op::LayerNormGrad { .. } => "layer-norm-gradient",
            Op::PowGrad { .. } => "pow-gradient",
            Op::LinearCrossEntropy { .. } => "linear-cross-entropy",
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
    pub const ALL: [Unary; 19] = [
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
        Unary::Sign,
        Unary::Floor,
        Unary::Ceil,
        Unary::Round,
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
            Unary::Sign => "sign",
            Unary::Floor => "floor",
            Unary::Ceil => "ceil",
            Unary::Round => "round",
        }
    }
}

impl Binary {
    /// Every function, in order of code.
    pub const ALL: [Binary; 13] = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Maximum,
        Binary::Minimum,
        Binary::Pow,
        Binary::Rem,
        Binary::And,
        Binary::Or,
        Binary::Xor,
        Binary::Shl,
        Binary::Shr,
    ];

    /// Takes f32.
    pub fn takes_floats(self) -> bool {
        (self as u8) <= Binary::Pow as u8
    }

    /// The function's name as the contract spells it.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Maximum => "maximum",
            Binary::Minimum => "minimum",
            Binary::Pow => "pow",
            Binary::Rem => "rem",
            Binary::And => "and",
            Binary::Or => "or",
            Binary::Xor => "xor",
            Binary::Shl => "shl",
            Binary::Shr => "shr",
        }
    }
}

impl Compare {
    /// Every comparison, in order of code.
    pub const ALL: [Compare; 6] = [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];

    /// The comparison's name as the contract spells it.
    pub fn name(self) -> &'static str {
        match self {
            Compare::Eq => "eq",
            Compare::Ne => "ne",
            Compare::Lt => "lt",
            Compare::Le => "le",
            Compare::Gt => "gt",
            Compare::Ge => "ge",
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
