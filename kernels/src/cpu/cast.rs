//! Conversions between dtypes, all exact or correctly rounded, and so the same everywhere.

use super::elements::{Elements, ElementsMut};
use super::scratch::Scratch;
use crate::fault::Fault;

/// The bf16 nearest to x, ties to even; NaN is the quiet one.
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff).wrapping_add(bits >> 16 & 1) >> 16;
    if x.is_nan() { 0x7fc0 } else { rounded as u16 }
}

/// The value of a bf16.
#[inline(always)]
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The f16 nearest to x, ties to even; from 65520 on infinity; NaN is the quiet one.
#[inline(always)]
pub fn to_f16(x: f32) -> u16 {
    const LEAST_NORMAL: u32 = 0x3880_0000;
    const TOO_LARGE: u32 = 0x4780_0000;
    let bits = x.to_bits();
    let size = bits & 0x7fff_ffff;
    // Adding a half leaves, in the last bits of the sum, the multiple of f16's least step that is nearest.
    let small = (f32::from_bits(size) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let normal = size.wrapping_add(0xfff).wrapping_add(size >> 13 & 1).wrapping_sub(0x3800_0000) >> 13;
    let finite = if size < LEAST_NORMAL { small } else { normal };
    let magnitude = if size >= TOO_LARGE { 0x7c00 } else { finite };
    let signed = magnitude | bits >> 16 & 0x8000;
    if x.is_nan() { 0x7e00 } else { signed as u16 }
}

/// The value of an f16.
#[inline(always)]
pub fn from_f16(bits: u16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits(0x7780_0000);
    let size = u32::from(bits & 0x7fff);
    let finite = f32::from_bits(size << 13) * TWO_TO_112;
    let magnitude = if size >= 0x7c00 { f32::from_bits(0x7f80_0000 | size << 13) } else { finite };
    if size > 0x7c00 { f32::NAN } else { magnitude.copysign(if bits >> 15 == 1 { -1.0 } else { 1.0 }) }
}

/// An f32 next to x, which rounds to the same bf16 and f16 as x itself: what is cut off sets the last bit, so that no
/// tie appears or goes (rounding to odd).
#[inline(always)]
fn to_odd(x: i64) -> f32 {
    let size = x.unsigned_abs();
    let cut = (64 - size.leading_zeros()).saturating_sub(f32::MANTISSA_DIGITS);
    let kept = size >> cut;
    let odd = kept | u64::from(kept << cut != size);
    // Both factors are exact.
    let size = odd as f32 * (1u64 << cut) as f32;
    if x < 0 { -size } else { size }
}

/// Converts every element; the rules are those of [`crate::op::Op::Cast`].
pub fn convert(x: Elements<'_>, y: ElementsMut<'_>) {
    match x {
        Elements::F32(x) => floats(x, |x| x, y),
        Elements::Bf16(x) => floats(x, from_bf16, y),
        Elements::F16(x) => floats(x, from_f16, y),
        Elements::U32(x) => integers(x, i64::from, y),
        Elements::U8(x) | Elements::Bool(x) => integers(x, i64::from, y),
        Elements::I64(x) => integers(x, |x| x, y),
    }
}

/// Floats as f32: their own memory where they are f32, else converted into `room`.
pub fn to_f32<'a>(x: Elements<'a>, room: &'a mut Scratch) -> Result<&'a [f32], Fault> {
    let (x, widen): (&[u16], fn(u16) -> f32) = match x {
        Elements::F32(x) => return Ok(x),
        Elements::Bf16(x) => (x, from_bf16),
        Elements::F16(x) => (x, from_f16),
        Elements::U32(_) | Elements::U8(_) | Elements::I64(_) | Elements::Bool(_) => {
            return Err(Fault::Executor("a factor of a product holds no floats".to_owned()));
        }
    };
    let wide = room.slice(x.len());
    each(x, wide, widen);
    Ok(wide)
}

fn floats<S: Copy>(x: &[S], widen: impl Fn(S) -> f32, y: ElementsMut<'_>) {
    match y {
        ElementsMut::F32(y) => each(x, y, widen),
        ElementsMut::Bf16(y) => each(x, y, |x| to_bf16(widen(x))),
        ElementsMut::F16(y) => each(x, y, |x| to_f16(widen(x))),
        ElementsMut::U32(y) => each(x, y, |x| widen(x) as u32),
        ElementsMut::U8(y) => each(x, y, |x| widen(x) as u8),
        ElementsMut::I64(y) => each(x, y, |x| widen(x) as i64),
        ElementsMut::Bool(y) => each(x, y, |x| u8::from(widen(x) != 0.0)),
    }
}

fn integers<S: Copy>(x: &[S], widen: impl Fn(S) -> i64, y: ElementsMut<'_>) {
    match y {
        ElementsMut::F32(y) => each(x, y, |x| widen(x) as f32),
        ElementsMut::Bf16(y) => each(x, y, |x| to_bf16(to_odd(widen(x)))),
        ElementsMut::F16(y) => each(x, y, |x| to_f16(to_odd(widen(x)))),
        ElementsMut::U32(y) => each(x, y, |x| widen(x) as u32),
        ElementsMut::U8(y) => each(x, y, |x| widen(x) as u8),
        ElementsMut::I64(y) => each(x, y, widen),
        ElementsMut::Bool(y) => each(x, y, |x| u8::from(widen(x) != 0)),
    }
}

fn each<S: Copy, D>(x: &[S], y: &mut [D], f: impl Fn(S) -> D) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = f(*x));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every f16 and bf16, and f32s on and beside the ties between neighbours.
    #[test]
    fn halves_agree_with_the_half_crate() {
        for bits in 0..=u16::MAX {
            let (f, b) = (half::f16::from_bits(bits), half::bf16::from_bits(bits));
            for (got, want) in [(from_f16(bits), f.to_f32()), (from_bf16(bits), b.to_f32())] {
                assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{bits:#x}");
            }
        }
        let mut bits = 1u32;
        for _ in 0..2_000_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            check(bits);
        }
        for top in 0..=u16::MAX {
            for low in [0, 1, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x7fff, 0x8000, 0x8001, 0xf000, 0xffff] {
                check(u32::from(top) << 16 | low);
            }
        }
    }

    /// Integers on and beside the ties between neighbours, with bits so far below that an f32 does not hold them.
    #[test]
    fn integers_are_rounded_once() {
        // An f64 holds what so few bits of an integer hold.
        let nearest = |x: i64, bits: u32| {
            let size = x.unsigned_abs();
            let cut = (64 - size.leading_zeros()).saturating_sub(bits);
            let (kept, rest, half) = (size >> cut, size & ((1 << cut) - 1), (1 << cut) / 2);
            let up = cut > 0 && (rest > half || rest == half && kept % 2 == 1);
            ((kept + u64::from(up)) as f64 * (1u64 << cut) as f64).copysign(x as f64)
        };
        for odd in (1..8192i64).step_by(2) {
            for shift in 1..50 {
                let tie = odd << shift;
                for x in [tie - 1, tie, tie + 1, 1 - tie, -tie, -1 - tie] {
                    let halves = (to_bf16(to_odd(x)), to_f16(to_odd(x)));
                    let (bf16, f16) = (half::bf16::from_f64(nearest(x, 8)), half::f16::from_f64(nearest(x, 11)));
                    assert_eq!(halves, (bf16.to_bits(), f16.to_bits()), "{x}");
                }
            }
        }
        assert_eq!([0, 1, -1, i64::MIN].map(to_odd), [0.0, 1.0, -1.0, -2f32.powi(63)]);
        assert_eq!(from_bf16(to_bf16(to_odd(i64::MAX))), 2f32.powi(63));
    }

    fn check(bits: u32) {
        let x = f32::from_bits(bits);
        if x.is_nan() {
            assert_eq!((to_f16(x), to_bf16(x)), (0x7e00, 0x7fc0));
        } else {
            assert_eq!(to_f16(x), half::f16::from_f32(x).to_bits(), "{x:e}");
            assert_eq!(to_bf16(x), half::bf16::from_f32(x).to_bits(), "{x:e}");
        }
    }
}
