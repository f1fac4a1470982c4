//! The table of operations: for each its meaning, code and name, its scalar operands, the tensors that it takes, its
//! form, and the tensors that it writes in place.

use super::form::{Class, Form};
use super::functions::{Binary, Compare, Unary};
use super::operands::{ANY, BOOL, F32, FLOATS, NUMBERS, Operands, U32};
use super::scalars::{AdamW, Attention, Attribute, Loss, Scalar};
use crate::spec::{DType, Shape};
use smallvec::SmallVec;

/// Defines [`Op`] from rows: documentation, `Variant { scalars }`, code, name, operands, form, and operands that are
/// written in place.
/// Scalars are encoded in the order in which they stand. A name and operands may depend on the scalars.
macro_rules! ops {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident $({ $($field:ident: $type:ty),+ })? $(($inner:ident: $inner_type:ty))?
            = $code:literal, $name:expr,
            $([$($operand:expr),*])? $(of $operands:expr)?
            $(, elements $elements:expr)? $(, rows $class:ident $rows:expr)? $(, writes $written:expr)?;
    )+) => {
        /// An operation and its scalar operands.
        #[allow(missing_docs, reason = "each variant's line names its operands")]
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $($(#[doc = $doc])+ $variant $({ $($field: $type),+ })? $(($inner_type))?,)+
        }

        #[allow(unused_variables, reason = "most names and operands do not depend on the scalars")]
        impl Op {
            /// Every variant's name in this source, in order of code: for tests that nothing is left out.
            pub const VARIANTS: &[&str] = &[$(stringify!($variant)),+];

            /// The number of its kind in the canonical encoding.
            pub const fn code(&self) -> u8 {
                match self { $(Self::$variant { .. } => $code,)+ }
            }

            /// The operation's name as the contract spells it; gradients, which only the host submits, add "-gradient".
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant $({ $($field),+ })? $(($inner))? => $name,)+
                }
            }

            /// The tensors that it takes.
            pub const fn operands(&self) -> Operands {
                match self {
                    $(Self::$variant $({ $($field),+ })? $(($inner))? => {
                        $(Operands::Each(const { &[$($operand),*] }))? $($operands)?
                    })+
                }
            }

            /// How it treats them.
            pub const fn form(&self) -> Form {
                match self {
                    $(Self::$variant $({ $($field),+ })? $(($inner))? => {
                        let form = Form::Own;
                        $(let form = Form::Elements($elements);)?
                        $(let form = Form::Rows(Class::$class, $rows);)?
                        form
                    })+
                }
            }

            /// Positions of the operands that it writes in place; empty for pure ops.
            pub const fn written(&self) -> &'static [usize] {
                match self {
                    $(Self::$variant { .. } => {
                        const WRITTEN: &[&[usize]] = &[$(&$written)?];
                        if let [places] = WRITTEN { places } else { &[] }
                    })+
                }
            }

            /// Appends its scalar operands in the canonical encoding.
            pub fn encode_scalars(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),+ })? $(($inner))? => {
                        $($($field.encode(out);)+)?
                        $($inner.encode(out);)?
                    })+
                }
            }

            /// Its scalar operands by name.
            pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
                let mut out = Vec::new();
                match self {
                    $(Self::$variant $({ $($field),+ })? $(($inner))? => {
                        $($($field.tell(stringify!($field), &mut out);)+)?
                        $($inner.tell(stringify!($inner), &mut out);)?
                    })+
                }
                out
            }
        }

        const _: () = {
            let codes: &[u8] = &[$($code),+];
            let mut i = 0;
            while i < codes.len() {
                assert!(codes[i] as usize == i, "codes are those of the rows' order: add rows at the end only");
                i += 1;
            }
        };
    };
}

ops! {
    /// () → `shape`, every element `value`.
    Full { shape: Shape, value: f32 } = 0, "full", [];
    /// () → `[len]` u32: 0, 1, …
    Arange { len: u32 } = 1, "arange", [];
    /// () → `shape`: values that come with the record ([`Record::data`](super::Record::data)): f32, u32 or i64.
    Constant { shape: Shape, dtype: DType } = 2, constant_name(*dtype), [];
    /// () → `shape`: uniform in [low, high), Philox 4×32-10 at (`stream`, `position`).
    Uniform { shape: Shape, low: f32, high: f32, stream: u32, position: u64 } = 3, "uniform", [];
    /// () → `shape`: normal, Box–Muller over the same generator.
    Normal { shape: Shape, mean: f32, std: f32, stream: u32, position: u64 } = 4, "normal", [];
    /// () → tokens [batch, seq] u32, targets [batch, seq] u32; `drawn` tokens were drawn before. Values come with the
    /// record: batch·seq tokens, then batch·seq targets.
    NextBatch { batch: u32, seq: u32, drawn: u64 } = 5, "next-batch", [];

    /// x → same elements, other shape.
    Reshape { shape: Shape } = 6, "reshape", [ANY];
    /// x → output axis i is input axis `axes[i]`.
    Permute { axes: SmallVec<[u32; 4]> } = 7, "permute", [ANY];
    /// x → `len` of the axis from `start`.
    Narrow { axis: u32, start: u32, len: u32 } = 8, "narrow", [ANY];
    /// x → zeros before and after along the axis.
    Pad { axis: u32, before: u32, after: u32 } = 9, "pad", [ANY];
    /// x₁, x₂, … → joined along the axis.
    Cat { axis: u32 } = 10, "cat", of Operands::Alike(ANY.dtypes);
    /// x → axes of size 1 repeated, leading axes added.
    Expand { shape: Shape } = 11, "expand", [ANY];

    /// x → f(x).
    Unary(f: Unary) = 12, f.name(), [F32], elements f.operations();
    /// x, y = f(x), dy → dx.
    UnaryGrad(f: Unary) = 13, "unary-gradient", [F32, F32, F32], elements f.operations() + 2;
    /// a, b → f(a, b), broadcast.
    Binary(f: Binary) = 14, f.name(), of Operands::Each(f.operands());
    /// a, b, dy (all of one shape) → da for `Maximum` and `Minimum`: dy where a was chosen, else 0.
    ChosenGrad(f: Binary) = 15, "binary-gradient", [F32, F32, F32], elements 1;
    /// x → x·mul + add (one fused multiply-add).
    Affine { mul: f32, add: f32 } = 16, "affine", [F32], elements 2;
    /// x → cap·tanh(x/cap).
    Softcap { cap: f32 } = 17, "softcap", [F32], elements Unary::Tanh.operations() + 2;
    /// y = softcap(x), dy → dy·(1 − (y/cap)²).
    SoftcapGrad { cap: f32 } = 18, "softcap-gradient", [F32, F32], elements 4;

    /// x → sum over `axes` (sorted, distinct), which keep size 1 where `keep`.
    Sum { axes: SmallVec<[u32; 4]>, keep: bool } = 19, "sum", [F32];
    /// x → mean over `axes`.
    Mean { axes: SmallVec<[u32; 4]>, keep: bool } = 20, "mean", [F32];
    /// x → `shape`, summing what broadcasting from `shape` to x's shape repeated.
    SumTo { shape: Shape } = 21, "expand-gradient", [F32];
    /// x → softmax over the last axis.
    Softmax = 22, "softmax", [F32], rows Loss 14;
    /// y = softmax(x), dy → dx.
    SoftmaxGrad = 23, "softmax-gradient", [F32, F32], rows Loss 4;

    /// a, b → product over the last two axes, each transposed first where flagged; `b` of rank 2 serves every leading
    /// index of `a`.
    MatMul { transpose_a: bool, transpose_b: bool } = 24, "matmul", [FLOATS, FLOATS];

    /// table [n, d], indices [..] u32 → [.., d]. An index ≥ n is a fault at execution.
    Embedding = 25, "embedding", [ANY, U32];
    /// indices, dy [.., d] → [rows, d], dy's rows added in the order of the indices.
    EmbeddingGrad { rows: u32 } = 26, "embedding-gradient", [U32, F32];

    /// x → x / √(mean(x²) + eps), over the last axis.
    RmsNorm { eps: f32 } = 27, "rms-norm", [F32], rows Norm 4;
    /// x, dy → dx.
    RmsNormGrad { eps: f32 } = 28, "rms-norm-gradient", [F32, F32], rows Norm 9;
    /// x [b, t, h, d] → rotated by t·base^(−2j/d); `inverse` by the opposite angle.
    Rope { base: f32, inverse: bool } = 29, if *inverse { "rope-gradient" } else { "rope" }, [F32];
    /// q `[b,t,h,d]`, k, v `[b,t,g,d]` → y `[b,t,h,d]`, logsumexp `[b,h,t]`.
    Attention(how: Attention) = 30, "attention", [F32, F32, F32];
    /// q, k, v, y, logsumexp, dy → dq, dk, dv.
    AttentionGrad(how: Attention) = 31, "attention-gradient", [F32, F32, F32, F32, F32, F32];
    /// logits [.., v], targets [..] → mean loss [], logsumexp per row [..].
    CrossEntropy(loss: Loss) = 32, "cross-entropy", [F32, U32];
    /// logits, targets, logsumexp, dy [] → dlogits.
    CrossEntropyGrad(loss: Loss) = 33, "cross-entropy-gradient", [F32, U32, F32, F32];
    /// x → x/(|x| + 1e−7) over the last two axes, then for each (a, b, c): x ← a·x + (b·G + c·G²)·x with G = x·xᵀ.
    NewtonSchulz { coefficients: Vec<[f32; 3]> } = 34, "newton-schulz", [F32];

    /// x, value: x ← value, in place.
    Assign = 35, "assign", [ANY, ANY.like(0)], writes [0];
    /// x, value: x ← keep·x + scale·value, in place.
    Blend { keep: f32, scale: f32 } = 36, "blend", [F32, F32], writes [0];
    /// x, grad, m, v: x, m and v in place.
    AdamW(how: AdamW) = 37, "adamw-step", [F32, F32, F32, F32], writes [0, 2, 3];

    /// x → the same values in a tensor of its own: a first value of a slot, or a tensor outside the graph.
    Copy = 38, "copy", [ANY];

    /// x → the nearest values of another dtype. To floats: ties to even, beyond the range ±∞. Float to integer: towards
    /// zero, beyond the range its end, NaN gives 0. Integer to integer: the low bits. To bool: x ≠ 0 (NaN is true).
    /// Between bf16 or f16 and integers: through f32.
    Cast { to: DType } = 39, "cast", [ANY];
    /// a, b → bool, broadcast.
    Compare(f: Compare) = 40, f.name(), of Operands::Each(f.operands());
    /// condition (bool), a, b → a where the condition holds, else b; all three broadcast.
    Select = 41, "select", [BOOL, ANY, ANY.like(1)];
    /// x → the largest over `axes`; NaN if any is NaN. The gradient is shared equally among equals.
    Max { axes: SmallVec<[u32; 4]>, keep: bool } = 42, "max", [F32];
    /// x → the smallest over `axes`; NaN if any is NaN. The gradient is shared equally among equals.
    Min { axes: SmallVec<[u32; 4]>, keep: bool } = 43, "min", [F32];
    /// x → u32: the first place of the largest along the axis, which goes. NaN is above every number.
    ArgMax { axis: u32 } = 44, "argmax", [NUMBERS];
    /// x → u32: the places of the last axis in rising (or falling) order of value. Equal values keep their order; NaN
    /// is above every number, −0 equals 0.
    ArgSort { descending: bool } = 45, "argsort", [NUMBERS];
    /// x → sums of what comes before along the axis, itself included; from the end where `reverse`.
    CumSum { axis: u32, reverse: bool } = 46, "cumsum", [F32];
    /// x [.., n] → ln Σ e^x [..].
    LogSumExp = 47, "logsumexp", [F32];
    /// x, indices (u32, of x's sizes but along the axis) → x at the index along the axis: the shape of the indices.
    Gather { axis: u32 } = 48, "gather", [ANY, U32];
    /// x, indices (u32), values (of the indices' shape) → x with each value added at its index along the axis, in order
    /// along the axis.
    ScatterAdd { axis: u32 } = 49, "scatter-add", [F32, U32, F32];
    /// x → (x − mean) / √(variance + eps), over the last axis.
    LayerNorm { eps: f32 } = 50, "layer-norm", [F32], rows Norm 6;
    /// x, dy → dx.
    LayerNormGrad { eps: f32 } = 51, "layer-norm-gradient", [F32, F32], rows Norm 14;
    /// a, b, dy (all of one shape) → dy·b·a^(b−1), 0 where b = 0; or, for the `exponent`, dy·a^b·ln a, 0 where a = 0 ≤
    /// b.
    PowGrad { exponent: bool } = 52, "pow-gradient", [F32, F32, F32], elements 60;
    /// x [.., d], weight [v, d], targets [..] → the [`Op::CrossEntropy`] of logits x·weightᵀ, which are never held
    /// whole; and where `gradients`, dx and dweight for a loss whose gradient is 1.
    LinearCrossEntropy { loss: Loss, gradients: bool } = 53, "linear-cross-entropy", [F32, F32, U32];
}

/// Inference lets no other dtypes pass; they are named for its message.
const fn constant_name(dtype: DType) -> &'static str {
    match dtype {
        DType::U32 => "from-u32",
        DType::I64 => "from-i64",
        DType::F32 | DType::Bf16 | DType::F16 | DType::U8 | DType::Bool => "from-f32",
    }
}
