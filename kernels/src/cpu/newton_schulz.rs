//! Orthogonalisation by a quintic Newton–Schulz iteration (Jordan et al., *Muon*, 2024). Depends on `gemm`.

use super::gemm::{Sizes, View, multiply_spread};
use super::math::fma;
use super::path::kernel;
use super::reduce;
use super::threads::Threads;

const A: f32 = 3.4445;
const B: f32 = -4.7750;
const C: f32 = 2.0315;

/// y ≈ U·Vᵀ of the matrix x = U·S·Vᵀ [rows, cols]: x/(|x| + 1e−7), then `steps` times x ← a·x + (b·G + c·G·G)·x with
/// G = x·xᵀ, on the transpose where rows > cols.
pub fn orthogonalise(threads: &Threads, x: &[f32], y: &mut [f32], rows: usize, cols: usize, steps: u32) {
    let flip = rows > cols;
    let (m, n) = if flip { (cols, rows) } else { (rows, cols) };
    let norm = reduce::dot(threads.path, x, x).sqrt() + 1e-7;
    let at = |i: usize| if flip { i % n * cols + i / n } else { i };
    let mut now: Vec<f32> = (0..x.len()).map(|i| x[at(i)] / norm).collect();
    let mut next = vec![0.0; x.len()];
    let (mut gram, mut square) = (vec![0.0; m * m], vec![0.0; m * m]);
    for _ in 0..steps {
        let view = View::dense(&now, n, false);
        multiply_spread(threads, Sizes { m, n: m, k: n }, view, view.transposed(), &mut gram);
        let view = View::dense(&gram, m, false);
        multiply_spread(threads, Sizes { m, n: m, k: m }, view, view, &mut square);
        combine(threads.path, &mut square, C, &gram, B);
        let weights = View::dense(&square, m, false);
        multiply_spread(threads, Sizes { m, n, k: m }, weights, View::dense(&now, n, false), &mut next);
        combine(threads.path, &mut next, 1.0, &now, A);
        std::mem::swap(&mut now, &mut next);
    }
    now.iter().enumerate().for_each(|(i, value)| y[at(i)] = *value);
}

kernel! {
    /// x ← p·x + q·y.
    fn combine(x: &mut [f32], p: f32, y: &[f32], q: f32) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x = fma(q, *y, p * *x));
    }
}
