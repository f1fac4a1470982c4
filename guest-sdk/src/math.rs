//! Elementwise functions, comparisons and operators. Operands broadcast as in NumPy: aligned from the last axis, sizes
//! equal or 1. All are pure.

use crate::bindings::lab::train::tensors::{self, BinaryOp, CompareOp, UnaryOp};
use crate::tensor::{DType, Tensor};
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Shl, Shr, Sub};

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        /// Elementwise functions of an f32 tensor: any shape, kept. Cost: elementwise.
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
    /// −1, 0 or 1. Passes no gradient.
    sign => Sign;
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
    /// The largest integer that is not above x. Passes no gradient.
    floor => Floor;
    /// The smallest integer that is not below x. Passes no gradient.
    ceil => Ceil;
    /// The nearest integer, ties to even. Passes no gradient.
    round => Round;
}

/// The second operand of a function: a tensor, or a number that takes the first operand's dtype.
pub trait Operand {
    /// As a tensor of the dtype of `first`.
    fn beside(self, first: &Tensor) -> Tensor;
}

impl Operand for Tensor {
    fn beside(self, _first: &Tensor) -> Tensor {
        self
    }
}

impl Operand for &Tensor {
    fn beside(self, _first: &Tensor) -> Tensor {
        self.clone()
    }
}

impl Operand for f32 {
    #[track_caller]
    fn beside(self, _first: &Tensor) -> Tensor {
        Tensor::full([], self)
    }
}

impl Operand for u32 {
    #[track_caller]
    fn beside(self, first: &Tensor) -> Tensor {
        let number = Tensor::from_u32([], &[self]);
        if first.dtype() == DType::U32 { number } else { number.cast(first.dtype()) }
    }
}

impl Operand for bool {
    #[track_caller]
    fn beside(self, _first: &Tensor) -> Tensor {
        Tensor::full([], f32::from(self)).cast(DType::Bool)
    }
}

/// Functions of two operands of one dtype (f32, u8, u32 or i64; the second may be a number). Integers wrap around.
/// Cost: elementwise. The operators + − * / work alike; `%` is [`Tensor::rem`], `^ & | << >>` work on bits of integers
/// (`^ & | !` also on bool; a count outside 0 .. width shifts everything out).
impl Tensor {
    /// The larger of the two; NaN if either is.
    #[track_caller]
    pub fn maximum(&self, other: impl Operand) -> Tensor {
        self.binary(BinaryOp::Maximum, other)
    }

    /// The smaller of the two; NaN if either is.
    #[track_caller]
    pub fn minimum(&self, other: impl Operand) -> Tensor {
        self.binary(BinaryOp::Minimum, other)
    }

    /// x^y, f32.
    #[track_caller]
    pub fn pow(&self, exponent: impl Operand) -> Tensor {
        self.binary(BinaryOp::Pow, exponent)
    }

    /// x − y·⌊x/y⌋ of integers, 0 where y is 0: `tokens.rem(1000)`.
    #[track_caller]
    pub fn rem(&self, divisor: impl Operand) -> Tensor {
        self.binary(BinaryOp::Rem, divisor)
    }

    /// Within low ..= high, f32.
    #[track_caller]
    pub fn clamp(&self, low: f32, high: f32) -> Tensor {
        self.maximum(low).minimum(high)
    }

    /// self + (other − self)·weight, f32.
    #[track_caller]
    pub fn lerp(&self, other: &Tensor, weight: impl Operand) -> Tensor {
        let difference = other - self;
        self + difference.binary(BinaryOp::Mul, weight)
    }

    /// x·mul + add, in one operation, f32.
    #[track_caller]
    pub fn affine(&self, mul: f32, add: f32) -> Tensor {
        tensors::affine(self.handle(), mul, add).into()
    }

    /// cap·tanh(x/cap): stays within ±cap, f32.
    #[track_caller]
    pub fn softcap(&self, cap: f32) -> Tensor {
        tensors::softcap(self.handle(), cap).into()
    }

    #[track_caller]
    fn binary(&self, op: BinaryOp, other: impl Operand) -> Tensor {
        tensors::binary(op, self.handle(), other.beside(self).handle()).into()
    }
}

/// Comparisons, which give bool; NaN differs from everything and is not ordered. Cost: elementwise.
impl Tensor {
    /// x = y
    #[track_caller]
    pub fn eq(&self, other: impl Operand) -> Tensor {
        self.compare(CompareOp::Eq, other)
    }

    /// x ≠ y
    #[track_caller]
    pub fn ne(&self, other: impl Operand) -> Tensor {
        self.compare(CompareOp::Ne, other)
    }

    /// x < y
    #[track_caller]
    pub fn lt(&self, other: impl Operand) -> Tensor {
        self.compare(CompareOp::Lt, other)
    }

    /// x ≤ y
    #[track_caller]
    pub fn le(&self, other: impl Operand) -> Tensor {
        self.compare(CompareOp::Le, other)
    }

    /// x > y
    #[track_caller]
    pub fn gt(&self, other: impl Operand) -> Tensor {
        self.compare(CompareOp::Gt, other)
    }

    /// x ≥ y
    #[track_caller]
    pub fn ge(&self, other: impl Operand) -> Tensor {
        self.compare(CompareOp::Ge, other)
    }

    /// `a` where this (bool) holds, else `b`: NumPy's where. `a` and `b` have one dtype, any; all three broadcast.
    #[track_caller]
    pub fn select(&self, a: &Tensor, b: &Tensor) -> Tensor {
        tensors::select(self.handle(), a.handle(), b.handle()).into()
    }

    #[track_caller]
    fn compare(&self, op: CompareOp, other: impl Operand) -> Tensor {
        tensors::compare(op, self.handle(), other.beside(self).handle()).into()
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
                tensors::binary(BinaryOp::$op, self.handle(), right.handle()).into()
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

macro_rules! integer_operators {
    ($($trait:ident::$method:ident => $op:ident;)*) => {$(
        integer_operators!(@left $trait $method $op, Tensor);
        integer_operators!(@left $trait $method $op, &Tensor);
    )*};
    (@left $trait:ident $method:ident $op:ident, $left:ty) => {
        impl<R: Operand> $trait<R> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, right: R) -> Tensor {
                Tensor::binary(&self, BinaryOp::$op, right)
            }
        }
    };
}

integer_operators! {
    Rem::rem => Rem;
    BitAnd::bitand => And;
    BitOr::bitor => Or;
    BitXor::bitxor => Xor;
    Shl::shl => Shl;
    Shr::shr => Shr;
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
        scalars!(@left $tensor, Div div, |s, x| Tensor::full([], s).binary(BinaryOp::Div, x));

        impl Neg for $tensor {
            type Output = Tensor;
            #[track_caller]
            fn neg(self) -> Tensor {
                tensors::unary(UnaryOp::Neg, self.handle()).into()
            }
        }

        impl Not for $tensor {
            type Output = Tensor;
            #[track_caller]
            fn not(self) -> Tensor {
                Tensor::eq(&self, false)
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
