//! Rotary embedding (Su et al., 2021): halves of each head are rotated against each other by t·base^(−2j/dim).

use super::math::{self, fma};
use super::path::{Path, kernel};

/// For each position, dim/2 cosines, then as many sines.
pub fn table(base: f32, dim: usize, out: &mut [f32]) {
    let half = dim / 2;
    let frequency = |j: usize| math::power(f64::from(base), -2.0 * j as f64 / dim as f64);
    let frequencies: Vec<f64> = (0..half).map(frequency).collect();
    for (t, row) in out.chunks_exact_mut(2 * half).enumerate() {
        let (cos, sin) = row.split_at_mut(half);
        for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(&frequencies) {
            let (s, c) = math::sin_cos(t as f64 * frequency);
            (*cos, *sin) = (c as f32, s as f32);
        }
    }
}

/// Rotates x [batch, time, heads, dim] by the table's angles, or by the opposite ones. dim is even.
pub fn rotate(path: Path, x: &[f32], table: &[f32], y: &mut [f32], [time, heads, dim]: [usize; 3], inverse: bool) {
    let row = heads * dim;
    for (i, (x, y)) in x.chunks_exact(row).zip(y.chunks_exact_mut(row)).enumerate() {
        rotate_heads(path, x, &table[i % time * dim..][..dim], y, inverse);
    }
}

kernel! {
    fn rotate_heads(x: &[f32], table: &[f32], y: &mut [f32], inverse: bool) {
        let dim = table.len();
        let (cos, sin) = table.split_at(dim / 2);
        let sign = if inverse { -1.0 } else { 1.0 };
        for (x, y) in x.chunks_exact(dim).zip(y.chunks_exact_mut(dim)) {
            let (a, b) = x.split_at(dim / 2);
            let (ya, yb) = y.split_at_mut(dim / 2);
            for i in 0..dim / 2 {
                let sin = sign * sin[i];
                ya[i] = fma(a[i], cos[i], -(b[i] * sin));
                yb[i] = fma(a[i], sin, b[i] * cos[i]);
            }
        }
    }
}
