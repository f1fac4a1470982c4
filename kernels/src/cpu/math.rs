//! Elementary functions of the numerics class: own polynomials, no libm, same bits on every path. Errors against f64
//! are at most 2 ulp for `exp`, `log`, `sin`, `cos` and 4 ulp for `tanh` and `sigmoid`; fused multiply-add is exact.
//!
//! Range reductions follow Cody and Waite, *Software Manual for the Elementary Functions* (1980).

const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;
/// 1.5·2²³: adding it rounds a small f32 to an integer, which then stands in the low mantissa bits.
const ROUND: f32 = 12_582_912.0;

/// a·b + c, rounded once. Where a target has no such instruction, the C library may stand in, and common ones round
/// twice where the result is subnormal: there it is done here.
#[inline(always)]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) { a.mul_add(b, c) } else { fma_by_f64(a, b, c) }
}

/// The same in f64, where nothing here comes near a subnormal.
#[inline(always)]
pub fn fma64(a: f64, b: f64, c: f64) -> f64 {
    a.mul_add(b, c)
}

/// In f64 the product is exact; a sum rounded to odd can be rounded again without harm (Boldo and Melquiond, *Emulation
/// of a FMA and correctly rounded sums*, 2008). Its error is that of Knuth's two-sum.
#[inline(always)]
fn fma_by_f64(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    let bits = sum.to_bits();
    // Comparisons with NaN, the error of an infinite sum, are false.
    let (below, above) = (error < 0.0, error > 0.0);
    let odd = match bits & 1 == 0 && (below || above) {
        true if above == (sum > 0.0) => bits + 1,
        true => bits - 1,
        false => bits,
    };
    f64::from_bits(odd) as f32
}

/// n and r with x = n·ln 2 + r, |r| ≤ ln 2 / 2, for |x| < 2²⁰.
#[inline(always)]
fn reduce(x: f32) -> (i32, f32) {
    let shifted = fma(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma(n, -LN2_LO, fma(n, -LN2_HI, x));
    ((shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32), r)
}

/// e^r − 1 for |r| ≤ ln 2 / 2: Taylor to degree 8.
#[inline(always)]
fn expm1_reduced(r: f32) -> f32 {
    let p = fma(1.0f32 / 40320.0, r, 1.0 / 5040.0);
    let p = fma(p, r, 1.0 / 720.0);
    let p = fma(p, r, 1.0 / 120.0);
    let p = fma(p, r, 1.0 / 24.0);
    let p = fma(p, r, 1.0 / 6.0);
    let p = fma(p, r, 0.5);
    fma(p * r, r, r)
}

/// 2^n for −126 ≤ n ≤ 127.
#[inline(always)]
fn exp2_int(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// e^x.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let clamped = if x > 89.0 { 89.0 } else { x };
    let clamped = if clamped < -105.0 { -105.0 } else { clamped };
    let (n, r) = reduce(clamped);
    let half = n >> 1;
    let y = (1.0 + expm1_reduced(r)) * exp2_int(half) * exp2_int(n.wrapping_sub(half));
    if x.is_nan() { x } else { y }
}

/// Natural logarithm; NaN below 0, −∞ at 0.
#[inline(always)]
pub fn log(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    // Exponent and mantissa such that the mantissa lies in [√½, √2).
    let bits = scaled.to_bits().wrapping_sub(0x3f35_04f3);
    let n = (bits as i32) >> 23;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    let n = (if tiny { n.wrapping_sub(23) } else { n }) as f32;
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let p = fma(1.0f32 / 11.0, z, 1.0 / 9.0);
    let p = fma(p, z, 1.0 / 7.0);
    let p = fma(p, z, 0.2);
    let p = fma(p, z, 1.0 / 3.0);
    // log m = f − f²/2 + s·(f²/2 + 2·z·p): the leading term f is exact.
    let h = 0.5 * f * f;
    let tail = fma(s, fma(2.0 * z, p, h), n * LN2_LO);
    let y = fma(n, LN2_HI, f - (h - tail));
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x < 0.0 || x.is_nan() { f32::NAN } else { y }
}

/// Hyperbolic tangent, as e/(e + 2) with e = e^(2|x|) − 1.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let a = if a > 10.0 { 10.0 } else { a };
    let (n, r) = reduce(2.0 * a);
    let power = exp2_int(n);
    let e = fma(power, expm1_reduced(r), power - 1.0);
    let y = (e / (e + 2.0)).copysign(x);
    if x.is_nan() { x } else { y }
}

/// 1/(1 + e^−x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Sine and cosine of an angle in radians, each within 1e−11. Beyond 2⁵⁰ neighbouring angles lie further apart than a
/// turn: there the angle counts as 0.
#[inline(always)]
pub fn sin_cos(x: f64) -> (f64, f64) {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const HALF_PI_LO: f64 = 6.123_233_995_736_766e-17;
    let x = if x.abs() > 1.125_899_906_842_624e15 && x.abs() < f64::INFINITY { 0.0 } else { x };
    let shifted = x.mul_add(std::f64::consts::FRAC_2_PI, ROUND);
    let n = shifted - ROUND;
    let quadrant = shifted.to_bits();
    let r = n.mul_add(-HALF_PI_LO, n.mul_add(-std::f64::consts::FRAC_PI_2, x));
    let z = r * r;
    let p = (1.0f64 / 6_227_020_800.0).mul_add(z, -1.0 / 39_916_800.0);
    let p = p.mul_add(z, 1.0 / 362_880.0);
    let p = p.mul_add(z, -1.0 / 5040.0);
    let p = p.mul_add(z, 1.0 / 120.0);
    let p = p.mul_add(z, -1.0 / 6.0);
    let sine = (p * z).mul_add(r, r);
    let p = (-1.0f64 / 87_178_291_200.0).mul_add(z, 1.0 / 479_001_600.0);
    let p = p.mul_add(z, -1.0 / 3_628_800.0);
    let p = p.mul_add(z, 1.0 / 40320.0);
    let p = p.mul_add(z, -1.0 / 720.0);
    let p = p.mul_add(z, 1.0 / 24.0);
    let p = p.mul_add(z, -0.5);
    let cosine = p.mul_add(z, 1.0);
    let (s, c) = if quadrant & 1 == 0 { (sine, cosine) } else { (cosine, sine) };
    let s = if quadrant & 2 == 0 { s } else { -s };
    let c = if (quadrant.wrapping_add(1)) & 2 == 0 { c } else { -c };
    (s, c)
}

/// base^exponent for base > 0, in f64 within 1e−13 relative: for tables, not for elements.
pub fn power(base: f64, exponent: f64) -> f64 {
    let bits = base.to_bits();
    let n = ((bits >> 52) as i64 - 1023) as f64;
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = (0..24).rev().fold(0.0, |p: f64, i| p.mul_add(z, 1.0 / f64::from(2 * i + 1)));
    let x = (n * std::f64::consts::LN_2 + 2.0 * s * series) * exponent;
    let k = (x * std::f64::consts::LOG2_E).round_ties_even().clamp(-1022.0, 1023.0);
    let r = x - k * std::f64::consts::LN_2;
    let e = (1..=20).rev().fold(1.0, |p: f64, i| (p * r / f64::from(i)) + 1.0);
    e * f64::from_bits(((k as i64 + 1023) as u64) << 52)
}

/// x^n by squaring.
pub fn power_int(mut x: f64, mut n: u32) -> f64 {
    let mut y = 1.0;
    while n > 0 {
        if n & 1 == 1 {
            y *= x;
        }
        x *= x;
        n >>= 1;
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest error in ulp of `f` over `range`.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, range: (f32, f32)) -> f64 {
        let mut worst = 0.0f64;
        for i in 0..200_000 {
            let x = range.0 + (range.1 - range.0) * (i as f32 / 200_000.0);
            let want = exact(f64::from(x));
            let ulp = f64::from((want as f32).abs().next_up() - (want as f32).abs());
            worst = worst.max((f64::from(f(x)) - want).abs() / ulp);
        }
        worst
    }

    #[test]
    fn errors_are_as_documented() {
        assert!(worst(exp, f64::exp, (-104.0, 88.7)) <= 2.0);
        assert!(worst(log, f64::ln, (1e-40, 1e-38)) <= 2.0);
        assert!(worst(log, f64::ln, (1e-6, 3.0)) <= 2.0);
        assert!(worst(log, f64::ln, (3.0, 1e30)) <= 2.0);
        assert!(worst(tanh, f64::tanh, (-10.0, 10.0)) <= 4.0);
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), (-80.0, 80.0)) <= 4.0);
        assert!(worst(|x| sin_cos(f64::from(x)).0 as f32, f64::sin, (-0.7, 0.7)) <= 2.0);
        assert!(worst(|x| sin_cos(f64::from(x)).1 as f32, f64::cos, (-0.7, 0.7)) <= 2.0);
        for i in 0..10_000 {
            let x = f64::from(i) * 12.345 - 40_000.0;
            let (s, c) = sin_cos(x);
            assert!((s - x.sin()).abs() < 1e-10 && (c - x.cos()).abs() < 1e-10, "{x}");
        }
        assert!((power(10_000.0, -0.25) - 0.1).abs() < 1e-14);
    }

    /// Pairs of factors and a sum that rounds twice in f64, then values of all magnitudes.
    #[test]
    fn the_fused_multiply_add_rounds_once() {
        let power = |exponent: i32| f32::from_bits(((exponent + 127) as u32) << 23);
        let (a, b, c) = (20_857.0 * power(-100), 411_849.0 * power(-83), f32::from_bits(0x0008_0000));
        assert_eq!(fma_by_f64(a, b, c).to_bits(), 0x0008_0001);
        assert_eq!(fma_by_f64(-a, b, -c).to_bits(), 0x8008_0001);
        let mut state = 1u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        for i in 0..2_000_000 {
            let (a, b) = (f32::from_bits(draw()), f32::from_bits(draw()));
            // Near the product, so that digits cancel and results are subnormal.
            let near = (a * b).to_bits().wrapping_add(draw() >> (i % 32)) ^ (draw() & 0x8000_0000);
            let c = f32::from_bits(if i % 2 == 0 { near } else { draw() });
            let (got, want) = (fma_by_f64(a, b, c), a.mul_add(b, c));
            assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{a:e}·{b:e} + {c:e}: {got:e}");
        }
    }

    #[test]
    fn edges() {
        assert_eq!((exp(f32::NEG_INFINITY), exp(200.0), exp(0.0)), (0.0, f32::INFINITY, 1.0));
        assert_eq!((log(0.0), log(1.0), log(f32::INFINITY)), (f32::NEG_INFINITY, 0.0, f32::INFINITY));
        assert!(log(-1.0).is_nan() && exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && log(f32::NAN).is_nan());
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY), tanh(0.0)), (1.0, -1.0, 0.0));
        assert_eq!((sigmoid(f32::INFINITY), sigmoid(f32::NEG_INFINITY)), (1.0, 0.0));
    }
}
