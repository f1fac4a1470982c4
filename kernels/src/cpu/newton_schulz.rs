//! Orthogonalisation by a quintic Newton–Schulz iteration (Jordan et al., *Muon*, 2024).

use super::gemm::{Factor, Sizes, multiply};
use super::math::fma;
use super::matrix::{Tile, View};
use super::path::{Path, kernel};
use super::{reduce, scratch};

/// y ≈ U·Vᵀ of the matrix x = U·S·Vᵀ [rows, cols]: x/(|x| + 1e−7), then for each (a, b, c) x ← a·x + (b·G + c·G·G)·x
/// with G = x·xᵀ, on the transpose where rows > cols.
pub fn orthogonalise(path: Path, x: &[f32], y: &mut [f32], rows: usize, cols: usize, steps: &[[f32; 3]]) {
    let flip = rows > cols;
    let (m, n) = if flip { (cols, rows) } else { (rows, cols) };
    let norm = reduce::dot(path, x, x).sqrt() + 1e-7;
    let at = |i: usize| if flip { i % n * cols + i / n } else { i };
    let mut room = [(); 4].map(|()| scratch::take());
    let [now, next, gram, square] = &mut room;
    let (mut now, mut next) = (now.slice(m * n), next.slice(m * n));
    let (gram, square) = (gram.slice(m * m), square.slice(m * m));
    now.iter_mut().enumerate().for_each(|(i, value)| *value = x[at(i)] / norm);
    let product = |n, k, a: View, b: View, c: &mut [f32]| {
        multiply(path, Sizes { m, n, k }, a, Factor::Plain(b), &mut Tile::dense(c, n), false);
    };
    for &[a, b, c] in steps {
        let view = View::dense(now, n, false);
        product(m, n, view, view.transposed(), gram);
        let view = View::dense(gram, m, false);
        product(m, m, view, view, square);
        combine(path, square, c, gram, b);
        product(n, m, View::dense(square, m, false), View::dense(now, n, false), next);
        combine(path, next, 1.0, now, a);
        std::mem::swap(&mut now, &mut next);
    }
    now.iter().enumerate().for_each(|(i, value)| y[at(i)] = *value);
    room.into_iter().for_each(scratch::give);
}

kernel! {
    /// x ← p·x + q·y.
    fn combine(x: &mut [f32], p: f32, y: &[f32], q: f32) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x = fma(q, *y, p * *x));
    }
}
