//! Elementwise functions, comparisons and operators. Operands broadcast as in NumPy: aligned from the last axis, sizes
//! equal or 1. All are pure. Arithmetic operators are in `operators`.

use crate::bindings::lab::train::tensors::{self, BinaryOp, CompareOp, UnaryOp};
use crate::tensor::{DType, Tensor};

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        /// Functions of an f32 tensor: any shape, kept. Cost: elementwise, 1 to 22 operations each.
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
    /// √x. Its gradient at 0 is infinite, and NaN through x² or whatever else passes 0 on.
    sqrt => Sqrt;
    /// 1/√x
    rsqrt => Rsqrt;
    /// x²
    square => Square;
    /// |x|
    abs => Abs;
    /// −1, 0 or 1. Passes no gradient.
    sign => Sign;
    /// sin x; 0 for finite |x| above 2⁵⁰, where neighbouring numbers lie further apart than a turn
    sin => Sin;
    /// cos x; 1 for finite |x| above 2⁵⁰
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

/// The second operand of a function: a tensor, a number (an f32 is an f32 tensor without axes, a u32 takes the first
/// operand's dtype) or a bool.
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

/// Functions of two operands of one dtype, f32, u8, u32 or i64, which broadcast; where `impl Operand` stands, the
/// second may be a number: f32 for an f32 tensor, u32 for any. Integers wrap around. Cost: elementwise; where an
/// operand of more than one element is broadcast, 300 operations more for each row of the result.
///
/// The operators `+ - * /` take two tensors, which broadcast, or a tensor and a number on either side. `/` of integers
/// rounds down and gives 0 where the divisor is 0. With an f32 they are [`Tensor::affine`], one operation without
/// broadcasting: `x / s` is x·(1/s), and `x * s` adds 0, so that −0 becomes 0; only `s / x` divides. `-x` is of f32.
/// `%` is [`Tensor::rem`]; `^ & | << >>` work on bits of integers (`^ & | !` also on bool; a count outside 0 .. width
/// shifts everything out).
impl Tensor {
    /// The larger of the two; NaN if either is. The gradient of a tie goes to the first.
    #[track_caller]
    pub fn maximum(&self, other: impl Operand) -> Tensor {
        self.binary(BinaryOp::Maximum, other)
    }

    /// The smaller of the two; NaN if either is. The gradient of a tie goes to the first.
    #[track_caller]
    pub fn minimum(&self, other: impl Operand) -> Tensor {
        self.binary(BinaryOp::Minimum, other)
    }

    /// x^y, f32. Cost: elementwise, 40 operations per element.
    #[track_caller]
    pub fn pow(&self, exponent: impl Operand) -> Tensor {
        self.binary(BinaryOp::Pow, exponent)
    }

    /// x − y·⌊x/y⌋ of integers, 0 where y is 0: `tokens.rem(1000)`.
    #[track_caller]
    pub fn rem(&self, divisor: impl Operand) -> Tensor {
        self.binary(BinaryOp::Rem, divisor)
    }

    /// Within low ..= high, f32: the smaller of `high` and the larger of x and `low`. Cost: two elementwise operations.
    #[track_caller]
    pub fn clamp(&self, low: f32, high: f32) -> Tensor {
        self.maximum(low).minimum(high)
    }

    /// self + (other − self)·weight, f32. Cost: three elementwise operations.
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
    pub(crate) fn binary(&self, op: BinaryOp, other: impl Operand) -> Tensor {
        tensors::binary(op, self.handle(), other.beside(self).handle()).into()
    }
}

/// Comparisons of two operands of one dtype (f32, u8, u32, i64; `eq` and `ne` also bool), which give bool and
/// broadcast; NaN differs from everything and is not ordered. Cost: elementwise.
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
