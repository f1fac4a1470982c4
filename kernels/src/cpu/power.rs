//! Powers, by logarithm and exponential in f64, rounded once.

use super::math::fma64;
use super::path::kernel;

const LN2_HI: f64 = 6.931_471_803_691_238e-1;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;

/// ln x for x ≥ 0, within 1e−13 relative to max(|ln x|, 1): x = 2ⁿ·m, ln m = 2·artanh((m − 1)/(m + 1)).
#[inline(always)]
fn log(x: f64) -> f64 {
    // Exponent and mantissa such that the mantissa lies in [√½, √2). What comes from f32 is never subnormal.
    let bits = x.to_bits().wrapping_sub(0x3fe6_a09e_667f_3bcd);
    let n = ((bits as i64) >> 52) as f64;
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(0x3fe6_a09e_667f_3bcd));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let p = fma64(1.0f64 / 19.0, z, 1.0 / 17.0);
    let p = fma64(p, z, 1.0 / 15.0);
    let p = fma64(p, z, 1.0 / 13.0);
    let p = fma64(p, z, 1.0 / 11.0);
    let p = fma64(p, z, 1.0 / 9.0);
    let p = fma64(p, z, 1.0 / 7.0);
    let p = fma64(p, z, 0.2);
    let p = fma64(p, z, 1.0 / 3.0);
    let y = fma64(n, LN2_HI, fma64(2.0 * s, z * p, 2.0 * s) + n * LN2_LO);
    let y = if x == 0.0 { f64::NEG_INFINITY } else { y };
    if x == f64::INFINITY { x } else { y }
}

/// e^x where the result is an f32 or near its range; beyond it rounds to 0 or infinity there.
#[inline(always)]
fn exp(x: f64) -> f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let clamped = if x > 100.0 { 100.0 } else { x };
    let clamped = if clamped < -120.0 { -120.0 } else { clamped };
    let shifted = fma64(clamped, std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma64(n, -LN2_LO, fma64(n, -LN2_HI, clamped));
    let p = fma64(1.0f64 / 39_916_800.0, r, 1.0 / 3_628_800.0);
    let p = fma64(p, r, 1.0 / 362_880.0);
    let p = fma64(p, r, 1.0 / 40_320.0);
    let p = fma64(p, r, 1.0 / 5040.0);
    let p = fma64(p, r, 1.0 / 720.0);
    let p = fma64(p, r, 1.0 / 120.0);
    let p = fma64(p, r, 1.0 / 24.0);
    let p = fma64(p, r, 1.0 / 6.0);
    let p = fma64(p, r, 0.5);
    let p = fma64(p * r, r, r) + 1.0;
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(1023) << 52;
    let y = p * f64::from_bits(power);
    if x.is_nan() { x } else { y }
}

/// a^b with the special cases of C's `pow`.
#[inline(always)]
fn pow(a: f64, b: f64) -> f64 {
    let whole = b.floor() == b;
    let odd = whole && b.abs() < 9_007_199_254_740_992.0 && (b * 0.5).floor() * 2.0 != b;
    let size = a.abs();
    let y = exp(b * log(size));
    let y = if size == 1.0 { 1.0 } else { y };
    let y = if odd { y.copysign(a) } else { y };
    let y = if a < 0.0 && a > f64::NEG_INFINITY && !whole { f64::NAN } else { y };
    let y = if a.is_nan() || b.is_nan() { f64::NAN } else { y };
    if b == 0.0 || a == 1.0 { 1.0 } else { y }
}

/// a^b, within an ulp.
#[inline(always)]
pub fn power(a: f32, b: f32) -> f32 {
    pow(f64::from(a), f64::from(b)) as f32
}

kernel! {
    /// dy·b·a^(b−1), and 0 where b is 0.
    pub fn base_grad(a: &[f32], b: &[f32], dy: &[f32], da: &mut [f32]) {
        for (((da, a), b), dy) in da.iter_mut().zip(a).zip(b).zip(dy) {
            let slope = f64::from(*b) * pow(f64::from(*a), f64::from(*b) - 1.0);
            *da = if *b == 0.0 { 0.0 } else { dy * slope as f32 };
        }
    }
}

kernel! {
    /// dy·a^b·ln a, and 0 where a is 0 and b is not negative.
    pub fn exponent_grad(a: &[f32], b: &[f32], dy: &[f32], db: &mut [f32]) {
        for (((db, a), b), dy) in db.iter_mut().zip(a).zip(b).zip(dy) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let slope = pow(a, b) * if a < 0.0 { f64::NAN } else { log(a) };
            *db = if a == 0.0 && b >= 0.0 { 0.0 } else { dy * slope as f32 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_below_an_ulp() {
        let mut state = 1u32;
        let mut next = |range: f32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 * range
        };
        for _ in 0..200_000 {
            let (a, b) = (next(20.0), next(60.0) - 30.0);
            let want = f64::from(a).powf(f64::from(b));
            let got = power(a, b);
            let ulp = f64::from((want as f32).next_up() - want as f32);
            assert!((f64::from(got) - want).abs() <= ulp || got as f64 == want as f32 as f64, "{a}^{b}: {got} {want}");
        }
    }

    #[test]
    fn special_cases_are_those_of_c() {
        let all =
            [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40];
        for a in all {
            for b in all {
                let (got, want) = (power(a, b), f64::from(a).powf(f64::from(b)) as f32);
                let near = (got - want).abs() <= 1e-6 * want.abs() && got.is_sign_positive() == want.is_sign_positive();
                assert!(
                    near || got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                    "{a}^{b}: {got} {want}"
                );
            }
        }
    }
}
