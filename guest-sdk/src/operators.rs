//! Operators: `+ - * /` and `-x` of tensors and numbers, `% & | ^ << >>` and `!x` of integers and bool. They are the
//! functions of `math` by another name.

use crate::bindings::lab::train::tensors::{self, BinaryOp, UnaryOp};
use crate::math::Operand;
use crate::tensor::{DType, Tensor};
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Shl, Shr, Sub};

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
        scalars!(@of $tensor, f32, Add add, |x, s| x.affine(1.0, s), |s, x| x.affine(1.0, s));
        scalars!(@of $tensor, f32, Sub sub, |x, s| x.affine(1.0, -s), |s, x| x.affine(-1.0, s));
        scalars!(@of $tensor, f32, Mul mul, |x, s| x.affine(s, 0.0), |s, x| x.affine(s, 0.0));
        scalars!(@of $tensor, f32, Div div, |x, s| x.affine(1.0 / s, 0.0), |s, x| s.beside(&x).binary(BinaryOp::Div, x));
        scalars!(@integer $tensor, Add add, Sub sub, Mul mul, Div div);

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
                assert!(self.dtype() == DType::Bool, "! of {:?}: it must be bool", self.shape());
                Tensor::eq(&self, false)
            }
        }
    )*};
    (@integer $tensor:ty, $($trait:ident $method:ident),*) => {$(
        scalars!(@of $tensor, u32, $trait $method,
            |x, s| Tensor::binary(&x, BinaryOp::$trait, s), |s, x| s.beside(&x).binary(BinaryOp::$trait, x));
    )*};
    (@of $tensor:ty, $number:ty, $trait:ident $method:ident,
        |$x:ident, $s:ident| $right:expr, |$first:ident, $second:ident| $left:expr) => {
        impl $trait<$number> for $tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, $s: $number) -> Tensor {
                let $x = self;
                $right
            }
        }

        impl $trait<$tensor> for $number {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, $second: $tensor) -> Tensor {
                let $first = self;
                $left
            }
        }
    };
}

scalars!(Tensor, &Tensor);
