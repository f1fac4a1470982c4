//! Reductions with one definition used everywhere: blocks of [`BLOCK`] elements; in a block element i goes to lane i
//! mod 16, the lanes are added as a tree of halves, and the blocks' sums are added in order.

use super::math;
use super::path::{Path, kernel};
use super::scratch;

/// Elements of one block: part of the numerics class.
pub const BLOCK: usize = 4096;
const LANES: usize = 16;

#[inline(always)]
fn tree(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
    }
    lanes[0]
}

/// Sum of `term` over 0..len in the order that the class fixes; `term` gets lanes of the operands.
#[inline(always)]
fn fold(a: &[f32], b: &[f32], term: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = [0.0f32; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                lanes[i] = term(lanes[i], a[i], b[i]);
            }
        }
        for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
            *lane = term(*lane, *a, *b);
        }
        total += tree(lanes);
    }
    total
}

#[inline(always)]
fn sum_body(x: &[f32]) -> f32 {
    fold(x, x, |s, x, _| s + x)
}

#[inline(always)]
fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    fold(a, b, |s, a, b| math::fma(a, b, s))
}

/// The largest element; NaN if any is.
#[inline(always)]
fn max_body(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] || chunk[i].is_nan() { chunk[i] } else { lanes[i] };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, &x| if x > m || x.is_nan() { x } else { m })
}

kernel! {
    /// Σ x.
    pub fn sum(x: &[f32]) -> f32 { sum_body(x) }
}
kernel! {
    /// Σ a·b by fused multiply-add.
    pub fn dot(a: &[f32], b: &[f32]) -> f32 { dot_body(a, b) }
}
kernel! {
    /// x ← e^(scale·x − max of that); gives the maximum and the sum.
    pub fn exp_shifted(x: &mut [f32], scale: f32) -> (f32, f32) {
        x.iter_mut().for_each(|x| *x *= scale);
        let max = max_body(x);
        x.iter_mut().for_each(|x| *x = math::exp(*x - max));
        (max, sum_body(x))
    }
}
kernel! {
    /// y = softmax(x) over each row of n.
    pub fn softmax(x: &[f32], y: &mut [f32], n: usize) {
        for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
            let max = max_body(x);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = math::exp(*x - max));
            let sum = sum_body(y);
            y.iter_mut().for_each(|y| *y /= sum);
        }
    }
}
kernel! {
    /// dx = y·(dy − y·dy) over each row of n.
    pub fn softmax_grad(y: &[f32], dy: &[f32], dx: &mut [f32], n: usize) {
        for ((y, dy), dx) in y.chunks_exact(n).zip(dy.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
            let dot = dot_body(y, dy);
            for i in 0..n {
                dx[i] = y[i] * (dy[i] - dot);
            }
        }
    }
}
kernel! {
    /// y = x/√(mean(x²) + eps) over each row of n.
    pub fn rms_norm(x: &[f32], y: &mut [f32], n: usize, eps: f32) {
        for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
            let r = 1.0 / (dot_body(x, x) / n as f32 + eps).sqrt();
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x * r);
        }
    }
}
kernel! {
    /// dx = r·(dy − x·r²·(x·dy)/n) over each row of n, with r = 1/√(mean(x²) + eps).
    pub fn rms_norm_grad(x: &[f32], dy: &[f32], dx: &mut [f32], n: usize, eps: f32) {
        for ((x, dy), dx) in x.chunks_exact(n).zip(dy.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
            let r = 1.0 / (dot_body(x, x) / n as f32 + eps).sqrt();
            let along = dot_body(x, dy) / n as f32 * r * r;
            for i in 0..n {
                dx[i] = r * math::fma(along, -x[i], dy[i]);
            }
        }
    }
}
kernel! {
    /// ln Σ e^x of each row of n.
    pub fn logsumexp(x: &[f32], y: &mut [f32], n: usize) {
        for (x, y) in x.chunks_exact(n).zip(y) {
            let max = max_body(x);
            let sum = fold(x, x, |s, x, _| s + math::exp(x - max));
            *y = if max.is_infinite() { max } else { max + math::log(sum) };
        }
    }
}
kernel! {
    /// y = (x − mean)/√(variance + eps) over each row of n.
    pub fn layer_norm(x: &[f32], y: &mut [f32], n: usize, eps: f32) {
        for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
            let (mean, r) = moments(x, eps);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = (x - mean) * r);
        }
    }
}
kernel! {
    /// dx = r·(dy − mean(dy) − x̂·mean(dy·x̂)) over each row of n, with x̂ = r·(x − mean), r = 1/√(variance + eps).
    pub fn layer_norm_grad(x: &[f32], dy: &[f32], dx: &mut [f32], n: usize, eps: f32) {
        for ((x, dy), dx) in x.chunks_exact(n).zip(dy.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
            let (mean, r) = moments(x, eps);
            let shift = sum_body(dy) / n as f32;
            let along = fold(x, dy, |s, x, dy| math::fma(x - mean, dy, s)) / n as f32 * r * r;
            for i in 0..n {
                dx[i] = r * math::fma(along, mean - x[i], dy[i] - shift);
            }
        }
    }
}

/// Mean and 1/√(variance + eps).
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum_body(x) / x.len() as f32;
    let squares = fold(x, x, |s, x, _| math::fma(x - mean, x - mean, s));
    (mean, 1.0 / (squares / x.len() as f32 + eps).sqrt())
}

kernel! {
    /// out += x.
    pub fn accumulate(out: &mut [f32], x: &[f32]) {
        out.iter_mut().zip(x).for_each(|(o, x)| *o += x);
    }
}

/// How elements are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Added.
    Sum,
    /// The larger is kept; NaN if any is.
    Max,
    /// The smaller is kept; NaN if any is.
    Min,
}

kernel! {
    /// The elements of x put together; sums as [`sum`].
    fn fold_row(how: Fold, x: &[f32]) -> f32 {
        match how {
            Fold::Sum => sum_body(x),
            Fold::Max => max_body(x),
            Fold::Min => x.iter().fold(f32::INFINITY, |m, &x| if x < m || x.is_nan() { x } else { m }),
        }
    }
}
kernel! {
    /// Each element of out put together with that of x.
    fn fold_into(how: Fold, out: &mut [f32], x: &[f32]) {
        let pairs = out.iter_mut().zip(x);
        match how {
            Fold::Sum => pairs.for_each(|(o, x)| *o += x),
            Fold::Max => pairs.for_each(|(o, x)| *o = if *x > *o || x.is_nan() { *x } else { *o }),
            Fold::Min => pairs.for_each(|(o, x)| *o = if *x < *o || x.is_nan() { *x } else { *o }),
        }
    }
}

/// Folds some axes: groups of adjacent reduced axes one after another, the last group first. A group that ends the
/// remaining shape is folded as a row, sums by [`sum`]; any other over its index in order. Axes of size 1 do not count.
pub fn fold_axes(path: Path, how: Fold, x: &[f32], dims: &[u32], out: &mut [f32], reduced: impl Fn(usize) -> bool) {
    let mut groups: Vec<(usize, bool)> = Vec::new();
    for (axis, &size) in dims.iter().enumerate().filter(|(_, size)| **size > 1) {
        match groups.last_mut() {
            Some((n, r)) if *r == reduced(axis) => *n *= size as usize,
            _ => groups.push((size as usize, reduced(axis))),
        }
    }
    let mut left = groups.iter().filter(|(_, reduce)| *reduce).count();
    if left == 0 {
        return out.copy_from_slice(x);
    }
    let (mut from, mut to) = (scratch::take(), scratch::take());
    let (mut inner, mut len) = (1, x.len());
    let mut first = true;
    while let Some((n, reduce)) = groups.pop() {
        if !reduce {
            inner *= n;
            continue;
        }
        let source: &[f32] = if first { x } else { from.slice(len) };
        len /= n;
        left -= 1;
        fold_group(path, how, source, n, inner, if left == 0 { &mut *out } else { to.slice(len) });
        std::mem::swap(&mut from, &mut to);
        first = false;
    }
    scratch::give(from);
    scratch::give(to);
}

/// Folds the middle axis of x [outer, n, inner].
fn fold_group(path: Path, how: Fold, x: &[f32], n: usize, inner: usize, out: &mut [f32]) {
    if inner == 1 {
        out.iter_mut().zip(x.chunks_exact(n)).for_each(|(out, row)| *out = fold_row(path, how, row));
        return;
    }
    let start = match how {
        Fold::Sum => 0.0,
        Fold::Max => f32::NEG_INFINITY,
        Fold::Min => f32::INFINITY,
    };
    for (out, x) in out.chunks_exact_mut(inner).zip(x.chunks_exact(n * inner)) {
        out.fill(start);
        x.chunks_exact(inner).for_each(|row| fold_into(path, how, out, row));
    }
}
