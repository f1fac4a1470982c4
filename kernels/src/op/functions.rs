//! Functions of one and two operands, as tables. The host expands the same tables for the contract, so that a row here
//! is all that a new function needs before its arithmetic. Rows are added at the end: codes never change.

use super::operands::{BITS, F32, INTEGERS, NUMBERS, NUMBERS_AND_BOOL, Operand};
use crate::named::named;
use crate::spec::DType;

/// Hands a macro the table of unary functions: code, name in the contract, operations per element as the cost model
/// counts them (from the lengths of the polynomials).
#[macro_export]
macro_rules! unary_functions {
    ($with:ident $($before:tt)*) => {
        $with! {
            $($before)* {
                /// −x
                Neg = 0 "neg" 1,
                /// e^x
                Exp = 1 "exp" 12,
                /// natural logarithm
                Log = 2 "log" 12,
                /// √x
                Sqrt = 3 "sqrt" 6,
                /// 1/√x
                Rsqrt = 4 "rsqrt" 6,
                /// x²
                Square = 5 "square" 1,
                /// |x|
                Abs = 6 "abs" 1,
                /// sine
                Sin = 7 "sin" 16,
                /// cosine
                Cos = 8 "cos" 16,
                /// hyperbolic tangent
                Tanh = 9 "tanh" 16,
                /// 1/(1+e^−x)
                Sigmoid = 10 "sigmoid" 15,
                /// max(x, 0)
                Relu = 11 "relu" 1,
                /// max(x, 0)²
                ReluSquared = 12 "relu-squared" 2,
                /// 0.5 x (1 + tanh(√(2/π)(x + 0.044715 x³)))
                Gelu = 13 "gelu" 22,
                /// x·sigmoid(x)
                Silu = 14 "silu" 15,
                /// −1, 0 or 1: ±0 give 0, NaN gives NaN; no gradient flows
                Sign = 15 "sign" 1,
                /// the largest integer that is not above x; no gradient flows
                Floor = 16 "floor" 1,
                /// the smallest integer that is not below x; no gradient flows
                Ceil = 17 "ceil" 1,
                /// the nearest integer, ties to even; no gradient flows
                Round = 18 "round" 1,
            }
        }
    };
}

/// Hands a macro the table of binary functions: code, name in the contract.
#[macro_export]
macro_rules! binary_functions {
    ($with:ident $($before:tt)*) => {
        $with! {
            $($before)* {
                /// a + b
                Add = 0 "add",
                /// a − b
                Sub = 1 "sub",
                /// a · b
                Mul = 2 "mul",
                /// a / b; of integers rounded down, and 0 where b is 0
                Div = 3 "div",
                /// the larger; NaN if either is NaN; gradient to `a` on a tie
                Maximum = 4 "maximum",
                /// the smaller; NaN if either is NaN; gradient to `a` on a tie
                Minimum = 5 "minimum",
                /// a^b of f32, within 2 ulp: NaN where a is finite and below 0 and b is not an integer; 1 where b = 0
                /// or a = 1
                Pow = 6 "pow",
                /// a − b·⌊a/b⌋ of integers: the sign is b's, and 0 where b is 0
                Rem = 7 "rem",
                /// a & b of integers or bool
                And = 8 "and",
                /// a | b of integers or bool
                Or = 9 "or",
                /// a ^ b of integers or bool
                Xor = 10 "xor",
                /// a·2^b of integers; a count that is negative or not below the width shifts everything out
                Shl = 11 "shl",
                /// ⌊a/2^b⌋ of integers; a count that is negative or not below the width shifts everything out
                Shr = 12 "shr",
            }
        }
    };
}

/// Hands a macro the table of comparisons: code, name in the contract.
#[macro_export]
macro_rules! compare_functions {
    ($with:ident $($before:tt)*) => {
        $with! {
            $($before)* {
                /// a = b
                Eq = 0 "eq",
                /// a ≠ b
                Ne = 1 "ne",
                /// a < b
                Lt = 2 "lt",
                /// a ≤ b
                Le = 3 "le",
                /// a > b
                Gt = 4 "gt",
                /// a ≥ b
                Ge = 5 "ge",
            }
        }
    };
}

unary_functions! { named
    /// Elementwise functions of one operand. Codes are part of canonical encodings.
    Unary
}

binary_functions! { named
    /// Elementwise functions of two operands of one dtype, which broadcast. f32, u8, u32 and i64 unless they say
    /// otherwise; integers wrap around.
    Binary
}

compare_functions! { named
    /// Comparisons of two operands of one dtype, which broadcast: f32, u8, u32, i64, and bool for equality. NaN differs
    /// from everything and is not ordered.
    Compare
}

macro_rules! operations {
    ($name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $code:literal $text:literal $operations:literal,)+ }) => {
        impl $name {
            /// Operations per element, as the cost model counts them.
            pub const fn operations(self) -> u64 {
                match self { $(Self::$variant => $operations,)+ }
            }
        }
    };
}
unary_functions!(operations Unary);

impl Unary {
    /// Whether the result moves in steps, so that no gradient flows.
    pub const fn is_step(self) -> bool {
        matches!(self, Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round)
    }
}

impl Binary {
    /// Whether it takes f32.
    pub const fn takes_floats(self) -> bool {
        self.operands()[0].dtypes.has(DType::F32)
    }

    pub(super) const fn operands(self) -> &'static [Operand] {
        match self {
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Maximum | Self::Minimum => {
                const { &[NUMBERS, NUMBERS.like(0)] }
            }
            Self::Pow => const { &[F32, F32.like(0)] },
            Self::Rem | Self::Shl | Self::Shr => const { &[INTEGERS, INTEGERS.like(0)] },
            Self::And | Self::Or | Self::Xor => const { &[BITS, BITS.like(0)] },
        }
    }
}

impl Compare {
    pub(super) const fn operands(self) -> &'static [Operand] {
        match self {
            Self::Eq | Self::Ne => const { &[NUMBERS_AND_BOOL, NUMBERS_AND_BOOL.like(0)] },
            Self::Lt | Self::Le | Self::Gt | Self::Ge => const { &[NUMBERS, NUMBERS.like(0)] },
        }
    }
}
