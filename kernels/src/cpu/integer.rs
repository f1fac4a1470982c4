//! Arithmetic of integers: it wraps around; division rounds down, and by zero gives zero.

use crate::op::Binary;

/// u8, u32 or i64.
pub trait Integer: Copy + Ord + Send + Sync + 'static {
    /// f(a, b); panics for `Pow`, which takes floats alone.
    fn binary(f: Binary, a: Self, b: Self) -> Self;
}

macro_rules! integer {
    ($($type:ident: $quotient:expr, $remainder:expr, $fill:expr;)*) => {$(
        impl Integer for $type {
            fn binary(f: Binary, a: Self, b: Self) -> Self {
                let count = u32::try_from(b).ok().filter(|count| *count < $type::BITS);
                match f {
                    Binary::Add => a.wrapping_add(b),
                    Binary::Sub => a.wrapping_sub(b),
                    Binary::Mul => a.wrapping_mul(b),
                    Binary::Div => $quotient(a, b),
                    Binary::Rem => $remainder(a, b),
                    Binary::Maximum => a.max(b),
                    Binary::Minimum => a.min(b),
                    Binary::And => a & b,
                    Binary::Or => a | b,
                    Binary::Xor => a ^ b,
                    Binary::Shl => count.map_or(0, |count| a << count),
                    Binary::Shr => count.map_or($fill(a), |count| a >> count),
                    Binary::Pow => unreachable!("pow takes floats alone"),
                }
            }
        }
    )*};
}

integer! {
    u8: |a: u8, b| a.checked_div(b).unwrap_or(0), |a: u8, b| a.checked_rem(b).unwrap_or(0), |_| 0;
    u32: |a: u32, b| a.checked_div(b).unwrap_or(0), |a: u32, b| a.checked_rem(b).unwrap_or(0), |_| 0;
    i64: quotient, remainder, |a: i64| if a < 0 { -1 } else { 0 };
}

fn quotient(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let towards_zero = a.wrapping_div(b);
    if remainder(a, b) != a.wrapping_rem(b) { towards_zero - 1 } else { towards_zero }
}

fn remainder(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let rest = a.wrapping_rem(b);
    if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_are_as_documented() {
        let f = |f, a: i64, b: i64| i64::binary(f, a, b);
        assert_eq!(
            [f(Binary::Div, 7, 2), f(Binary::Div, -7, 2), f(Binary::Div, 7, -2), f(Binary::Div, 7, 0)],
            [3, -4, -4, 0]
        );
        assert_eq!(
            [f(Binary::Rem, 7, 3), f(Binary::Rem, -7, 3), f(Binary::Rem, 7, -3), f(Binary::Rem, 7, 0)],
            [1, 2, -2, 0]
        );
        assert_eq!((f(Binary::Div, i64::MIN, -1), f(Binary::Rem, i64::MIN, -1)), (i64::MIN, 0));
        assert_eq!((f(Binary::Shl, 1, 63), f(Binary::Shl, 1, 64), f(Binary::Shl, 1, -1)), (i64::MIN, 0, 0));
        assert_eq!((f(Binary::Shr, -8, 1), f(Binary::Shr, -8, 64), f(Binary::Shr, 8, -1)), (-4, -1, 0));
        assert_eq!((u8::binary(Binary::Add, 255, 1), u32::binary(Binary::Sub, 0, 1)), (0, u32::MAX));
        assert_eq!((u8::binary(Binary::Shl, 1, 8), u8::binary(Binary::Div, 1, 0)), (0, 0));
    }

    proptest! {
        #[test]
        fn quotient_and_remainder_make_up_the_number(a: i64, b: i64) {
            prop_assume!(b != 0);
            prop_assert_eq!(quotient(a, b).wrapping_mul(b).wrapping_add(remainder(a, b)), a);
            prop_assert!(remainder(a, b) == 0 || (remainder(a, b) < 0) == (b < 0));
            prop_assert!(remainder(a, b).unsigned_abs() < b.unsigned_abs());
        }
    }
}
