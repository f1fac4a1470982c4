//! Elementwise functions over slices of equal length, and steps of optimizers.

use super::math::{self, fma};
use super::path::kernel;
use super::power;
use crate::op::{AdamW, Binary, Unary};

const SQRT_2_OVER_PI: f32 = 0.797_884_6;

#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = f(*x));
}

kernel! {
    /// y = f(x).
    pub fn unary(f: Unary, x: &[f32], y: &mut [f32]) {
        match f {
            Unary::Neg => map(x, y, |x| -x),
            Unary::Exp => map(x, y, math::exp),
            Unary::Log => map(x, y, math::log),
            Unary::Sqrt => map(x, y, f32::sqrt),
            Unary::Rsqrt => map(x, y, |x| 1.0 / x.sqrt()),
            Unary::Square => map(x, y, |x| x * x),
            Unary::Abs => map(x, y, f32::abs),
            Unary::Sin => map(x, y, |x| math::sin_cos(f64::from(x)).0 as f32),
            Unary::Cos => map(x, y, |x| math::sin_cos(f64::from(x)).1 as f32),
            Unary::Tanh => map(x, y, math::tanh),
            Unary::Sigmoid => map(x, y, math::sigmoid),
            Unary::Relu => map(x, y, relu),
            Unary::ReluSquared => map(x, y, |x| relu(x) * relu(x)),
            Unary::Gelu => map(x, y, |x| 0.5 * x * (1.0 + math::tanh(gelu_inner(x)))),
            Unary::Silu => map(x, y, |x| x * math::sigmoid(x)),
            Unary::Sign => map(x, y, sign),
            Unary::Floor => map(x, y, f32::floor),
            Unary::Ceil => map(x, y, f32::ceil),
            Unary::Round => map(x, y, f32::round_ties_even),
        }
    }
}

#[inline(always)]
fn sign(x: f32) -> f32 {
    if x == 0.0 || x.is_nan() { x } else { 1.0f32.copysign(x) }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    if x > 0.0 || x.is_nan() { x } else { 0.0 }
}

#[inline(always)]
fn gelu_inner(x: f32) -> f32 {
    SQRT_2_OVER_PI * fma(0.044_715 * x * x, x, x)
}

#[inline(always)]
fn map_grad(x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    for (((dx, x), y), dy) in dx.iter_mut().zip(x).zip(y).zip(dy) {
        *dx = dy * f(*x, *y);
    }
}

kernel! {
    /// dx = dy·f'(x), where y = f(x).
    pub fn unary_grad(f: Unary, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
        match f {
            Unary::Neg => map_grad(x, y, dy, dx, |_, _| -1.0),
            Unary::Exp => map_grad(x, y, dy, dx, |_, y| y),
            Unary::Log => map_grad(x, y, dy, dx, |x, _| 1.0 / x),
            Unary::Sqrt => map_grad(x, y, dy, dx, |_, y| 0.5 / y),
            Unary::Rsqrt => map_grad(x, y, dy, dx, |_, y| -0.5 * y * y * y),
            Unary::Square => map_grad(x, y, dy, dx, |x, _| 2.0 * x),
            Unary::Abs => map_grad(x, y, dy, dx, |x, _| if x == 0.0 { 0.0 } else { 1.0f32.copysign(x) }),
            Unary::Sin => map_grad(x, y, dy, dx, |x, _| math::sin_cos(f64::from(x)).1 as f32),
            Unary::Cos => map_grad(x, y, dy, dx, |x, _| -(math::sin_cos(f64::from(x)).0 as f32)),
            Unary::Tanh => map_grad(x, y, dy, dx, |_, y| fma(y, -y, 1.0)),
            Unary::Sigmoid => map_grad(x, y, dy, dx, |_, y| y * (1.0 - y)),
            Unary::Relu => map_grad(x, y, dy, dx, |x, _| if x > 0.0 { 1.0 } else { 0.0 }),
            Unary::ReluSquared => map_grad(x, y, dy, dx, |x, _| 2.0 * relu(x)),
            Unary::Gelu => map_grad(x, y, dy, dx, |x, _| {
                let t = math::tanh(gelu_inner(x));
                let inner = SQRT_2_OVER_PI * (3.0 * 0.044_715 * x * x + 1.0);
                0.5 * (1.0 + t) + 0.5 * x * fma(t, -t, 1.0) * inner
            }),
            Unary::Silu => map_grad(x, y, dy, dx, |x, y| {
                let s = math::sigmoid(x);
                s + y * (1.0 - s)
            }),
            Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => dx.fill(0.0),
        }
    }
}

/// An operand of a binary function: one element per output, or one for all.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// One element per output.
    Each(&'a [f32]),
    /// One for all.
    One(f32),
}

#[inline(always)]
fn zip(a: Operand, b: Operand, y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    match (a, b) {
        (Operand::Each(a), Operand::Each(b)) => {
            y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = f(*a, *b));
        }
        (Operand::Each(a), Operand::One(b)) => y.iter_mut().zip(a).for_each(|(y, a)| *y = f(*a, b)),
        (Operand::One(a), Operand::Each(b)) => y.iter_mut().zip(b).for_each(|(y, b)| *y = f(a, *b)),
        (Operand::One(a), Operand::One(b)) => y.fill(f(a, b)),
    }
}

/// Whether `Maximum` or `Minimum` takes a.
#[inline(always)]
fn takes_a(f: Binary, a: f32, b: f32) -> bool {
    a.is_nan() || if f == Binary::Maximum { a >= b } else { a <= b }
}

kernel! {
    /// y = f(a, b).
    pub fn binary(f: Binary, a: Operand, b: Operand, y: &mut [f32]) {
        match f {
            Binary::Add => zip(a, b, y, |a, b| a + b),
            Binary::Sub => zip(a, b, y, |a, b| a - b),
            Binary::Mul => zip(a, b, y, |a, b| a * b),
            Binary::Div => zip(a, b, y, |a, b| a / b),
            Binary::Maximum => zip(a, b, y, |a, b| if takes_a(Binary::Maximum, a, b) { a } else { b }),
            Binary::Minimum => zip(a, b, y, |a, b| if takes_a(Binary::Minimum, a, b) { a } else { b }),
            Binary::Pow => zip(a, b, y, power::power),
            Binary::Rem | Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => {
                unreachable!("{} takes integers alone", f.name())
            }
        }
    }
}
kernel! {
    /// da = dy where `Maximum` or `Minimum` took a, else 0.
    pub fn chosen_grad(f: Binary, a: &[f32], b: &[f32], dy: &[f32], da: &mut [f32]) {
        for (((da, a), b), dy) in da.iter_mut().zip(a).zip(b).zip(dy) {
            *da = if takes_a(f, *a, *b) { *dy } else { 0.0 };
        }
    }
}
kernel! {
    /// y = x·mul + add.
    pub fn affine(x: &[f32], y: &mut [f32], mul: f32, add: f32) {
        map(x, y, |x| fma(x, mul, add));
    }
}
kernel! {
    /// y = cap·tanh(x/cap).
    pub fn softcap(x: &[f32], y: &mut [f32], cap: f32) {
        map(x, y, |x| cap * math::tanh(x / cap));
    }
}
kernel! {
    /// dx = dy·(1 − (y/cap)²).
    pub fn softcap_grad(y: &[f32], dy: &[f32], dx: &mut [f32], cap: f32) {
        for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
            let t = y / cap;
            *dx = dy * fma(t, -t, 1.0);
        }
    }
}
kernel! {
    /// x ← keep·x + scale·value.
    pub fn blend(x: &mut [f32], value: &[f32], keep: f32, scale: f32) {
        x.iter_mut().zip(value).for_each(|(x, v)| *x = fma(scale, *v, keep * *x));
    }
}

/// Bias corrections 1 − β^step of an AdamW step.
pub fn corrections(c: &AdamW) -> (f32, f32) {
    let correction = |beta: f32| (1.0 - math::power_int(f64::from(beta), c.step)) as f32;
    (correction(c.beta1), correction(c.beta2))
}

kernel! {
    /// One step of AdamW (Loshchilov and Hutter, 2019); `fix` are the [`corrections`].
    pub fn adamw(c: AdamW, fix: (f32, f32), x: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
        for (((x, g), m), v) in x.iter_mut().zip(g).zip(m).zip(v) {
            *m = fma(c.beta1, *m, (1.0 - c.beta1) * g);
            *v = fma(c.beta2, *v, (1.0 - c.beta2) * g * g);
            let decayed = *x - c.lr * c.weight_decay * *x;
            *x = decayed - c.lr * ((*m / fix.0) / ((*v / fix.1).sqrt() + c.eps));
        }
    }
}
