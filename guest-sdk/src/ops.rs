//! Arithmetic on tensors: operators, elementwise functions, reductions, products and the fused operations of language
//! models. All are pure.

use crate::bindings::lab::train::tensors::{self, BinaryOp, ReduceOp, UnaryOp};
use crate::tensor::{Tensor, size, sizes};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Added to the mean square in [`Tensor::rms_norm`].
const NORM_EPS: f32 = 1e-6;

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        /// Elementwise functions: any shape, kept.
        impl Tensor {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(&self) -> Tensor {
                tensors::unary(UnaryOp::$op, self.handle()).into()
            })*
        }
    };
}

unary! {
    /// e^x
    exp => Exp;
    /// Natural logarithm.
    log => Log;
    /// √x
    sqrt => Sqrt;
    /// 1/√x
    rsqrt => Rsqrt;
    /// x²
    square => Square;
    /// |x|
    abs => Abs;
    /// sin x
    sin => Sin;
    /// cos x
    cos => Cos;
    /// Hyperbolic tangent.
    tanh => Tanh;
    /// 1/(1 + e^−x)
    sigmoid => Sigmoid;
    /// max(x, 0)
    relu => Relu;
    /// max(x, 0)²
    relu_squared => ReluSquared;
    /// 0.5 x (1 + tanh(√(2/π)(x + 0.044715 x³)))
    gelu => Gelu;
    /// x·sigmoid(x)
    silu => Silu;
}

/// More elementwise functions.
impl Tensor {
    /// The larger of the two, elementwise; shapes broadcast.
    #[track_caller]
    pub fn maximum(&self, other: &Tensor) -> Tensor {
        self.binary(BinaryOp::Max, other)
    }

    /// The smaller of the two, elementwise; shapes broadcast.
    #[track_caller]
    pub fn minimum(&self, other: &Tensor) -> Tensor {
        self.binary(BinaryOp::Min, other)
    }

    /// x·mul + add, in one operation.
    #[track_caller]
    pub fn affine(&self, mul: f32, add: f32) -> Tensor {
        tensors::affine(self.handle(), mul, add).into()
    }

    /// cap·tanh(x/cap): stays within ±cap.
    #[track_caller]
    pub fn softcap(&self, cap: f32) -> Tensor {
        tensors::softcap(self.handle(), cap).into()
    }

    #[track_caller]
    fn binary(&self, op: BinaryOp, other: &Tensor) -> Tensor {
        tensors::binary(op, self.handle(), other.handle()).into()
    }
}

/// Reductions.
impl Tensor {
    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum(&self) -> Tensor {
        tensors::reduce(ReduceOp::Sum, self.handle(), &[], false).into()
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean(&self) -> Tensor {
        tensors::reduce(ReduceOp::Mean, self.handle(), &[], false).into()
    }

    /// Sums over `axes`, which keep size 1.
    #[track_caller]
    pub fn sum_over(&self, axes: impl AsRef<[usize]>) -> Tensor {
        tensors::reduce(ReduceOp::Sum, self.handle(), &sizes(axes), true).into()
    }

    /// Means over `axes`, which keep size 1.
    #[track_caller]
    pub fn mean_over(&self, axes: impl AsRef<[usize]>) -> Tensor {
        tensors::reduce(ReduceOp::Mean, self.handle(), &sizes(axes), true).into()
    }

    /// e^x / Σ e^x along the last axis.
    #[track_caller]
    pub fn softmax(&self) -> Tensor {
        tensors::softmax(self.handle()).into()
    }

    /// x / √(mean(x²) + 10⁻⁶) along the last axis (Zhang and Sennrich, 2019), without a gain.
    #[track_caller]
    pub fn rms_norm(&self) -> Tensor {
        tensors::rms_norm(self.handle(), NORM_EPS).into()
    }
}

/// Products and lookups.
impl Tensor {
    /// [.., m, k] × [.., k, n] → [.., m, n]. Leading axes are equal, or `other` has rank 2 and serves them all.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        tensors::matmul(self.handle(), other.handle(), false, false).into()
    }

    /// x·wᵀ: [.., k] with w [n, k] → [.., n]. Needs at least two axes.
    #[track_caller]
    pub fn linear(&self, weight: &Tensor) -> Tensor {
        tensors::matmul(self.handle(), weight.handle(), false, true).into()
    }

    /// Rows of this table [n, d] for `indices` [..] (u32) → [.., d].
    #[track_caller]
    pub fn embedding(&self, indices: &Tensor) -> Tensor {
        tensors::embedding(self.handle(), indices.handle()).into()
    }

    /// The nearest matrix with singular values about 1, for the last two axes, by `steps` of the quintic
    /// Newton–Schulz iteration (Jordan, 2024). 5 steps are usual. Has no gradient.
    #[track_caller]
    pub fn newton_schulz(&self, steps: usize) -> Tensor {
        tensors::newton_schulz(self.handle(), size(steps)).into()
    }
}

/// Attention and loss.
impl Tensor {
    /// Rotary position embedding (Su et al., 2021) of [b, t, h, d]: position t turns the j-th pair by t·base^(−2j/d).
    #[track_caller]
    pub fn rope(&self, base: f32) -> Tensor {
        tensors::rope(self.handle(), base).into()
    }

    /// Causal attention of queries (self) [b, t, h, d] over `k`, `v` [b, t, g, d], h a multiple of g → [b, t, h, d].
    /// Scores are divided by √d. A position sees itself and the `window` − 1 before it; window 0 sees all before.
    #[track_caller]
    pub fn attention(&self, k: &Tensor, v: &Tensor, window: usize) -> Tensor {
        self.scaled_attention(k, v, window, 1.0 / (self.size(3) as f32).sqrt())
    }

    /// [`Tensor::attention`] with scores multiplied by `scale` instead.
    #[track_caller]
    pub fn scaled_attention(&self, k: &Tensor, v: &Tensor, window: usize, scale: f32) -> Tensor {
        tensors::attention(self.handle(), k.handle(), v.handle(), size(window), scale).into()
    }

    /// Mean of `−ln softmax(logits)[target]`, in nats, a scalar: logits (self) `[.., v]`, `targets` `[..]` (u32).
    #[track_caller]
    pub fn cross_entropy(&self, targets: &Tensor) -> Tensor {
        tensors::cross_entropy(self.handle(), targets.handle(), 0.0).into()
    }
}

macro_rules! operators {
    ($($trait:ident::$method:ident => $op:ident;)*) => {$(
        operators!(@tensors $trait $method $op, Tensor, Tensor);
        operators!(@tensors $trait $method $op, Tensor, &Tensor);
        operators!(@tensors $trait $method $op, &Tensor, Tensor);
        operators!(@tensors $trait $method $op, &Tensor, &Tensor);
    )*};
    (@tensors $trait:ident $method:ident $op:ident, $left:ty, $right:ty) => {
        impl $trait<$right> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: $right) -> Tensor {
                Tensor::binary(&self, BinaryOp::$op, &right)
            }
        }
    };
}

operators! {
    Add::add => Add;
    Sub::sub => Sub;
    Mul::mul => Mul;
    Div::div => Div;
}

macro_rules! scalars {
    ($($tensor:ty),*) => {$(
        scalars!(@right $tensor, Add add, |x, s| x.affine(1.0, s));
        scalars!(@right $tensor, Sub sub, |x, s| x.affine(1.0, -s));
        scalars!(@right $tensor, Mul mul, |x, s| x.affine(s, 0.0));
        scalars!(@right $tensor, Div div, |x, s| x.affine(1.0 / s, 0.0));
        scalars!(@left $tensor, Add add, |s, x| x.affine(1.0, s));
        scalars!(@left $tensor, Sub sub, |s, x| x.affine(-1.0, s));
        scalars!(@left $tensor, Mul mul, |s, x| x.affine(s, 0.0));
        scalars!(@left $tensor, Div div, |s, x| Tensor::full([], s).binary(BinaryOp::Div, &x));

        impl Neg for $tensor {
            type Output = Tensor;
            #[track_caller]
            fn neg(self) -> Tensor {
                tensors::unary(UnaryOp::Neg, self.handle()).into()
            }
        }
    )*};
    (@right $tensor:ty, $trait:ident $method:ident, |$x:ident, $s:ident| $result:expr) => {
        impl $trait<f32> for $tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, $s: f32) -> Tensor {
                let $x = self;
                $result
            }
        }
    };
    (@left $tensor:ty, $trait:ident $method:ident, |$s:ident, $x:ident| $result:expr) => {
        impl $trait<$tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, $x: $tensor) -> Tensor {
                let $s = self;
                $result
            }
        }
    };
}

scalars!(Tensor, &Tensor);
