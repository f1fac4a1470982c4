//! Definitions of the ops that executors fuse, in f64.

use super::{Array, matmul};
use kernels::op::{AdamW, Attention, Loss};

/// cap·tanh(x/cap)
pub fn softcap(x: f64, cap: f64) -> f64 {
    cap * (x / cap).tanh()
}

/// ln Σ e^x, without overflow.
pub fn logsumexp(row: &[f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + row.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// y [b, t, h, d] and logsumexp [b, h, t]: head i of q meets head ⌊i·g/h⌋ of k and v.
pub fn attention(q: &Array, k: &Array, v: &Array, how: &Attention) -> Vec<Array> {
    let [batch, time, heads, dim] = q.dims[..] else { panic!("q has {} axes", q.dims.len()) };
    let share = heads / k.dims[2];
    let (window, scale) = (how.window as usize, f64::from(how.scale));
    let sees = |t: usize, s: usize| (s <= t || !how.causal) && (window == 0 || t.abs_diff(s) < window);
    let seen = |t: usize| (0..time).filter(move |&s| sees(t, s));
    let scores = |b: usize, t: usize, h: usize| -> Vec<f64> {
        let score = |s: usize| (0..dim).map(|d| q.at(&[b, t, h, d]) * k.at(&[b, s, h / share, d])).sum::<f64>();
        seen(t).map(|s| scale * score(s)).collect()
    };
    let all = Array::from_fn(&[batch, heads, time], |i| logsumexp(&scores(i[0], i[2], i[1])));
    let y = Array::from_fn(&q.dims, |i| {
        let &[b, t, h, d] = i else { unreachable!() };
        let weights = scores(b, t, h).into_iter().map(|score| (score - all.at(&[b, h, t])).exp());
        weights.zip(seen(t)).map(|(weight, s)| weight * v.at(&[b, s, h / share, d])).sum()
    });
    vec![y, all]
}

/// Mean loss and logsumexp per row.
pub fn cross_entropy(logits: &Array, targets: &Array, how: &Loss) -> Vec<Array> {
    let (cap, z) = (f64::from(how.softcap), f64::from(how.z_loss));
    let capped = if cap > 0.0 { logits.map(|x| softcap(x, cap)) } else { logits.clone() };
    let width = *logits.dims.last().expect("a last axis");
    let rows: Vec<&[f64]> = capped.data.chunks(width).collect();
    let all: Vec<f64> = rows.iter().map(|row| logsumexp(row)).collect();
    let losses = rows
        .iter()
        .zip(&all)
        .zip(&targets.data)
        .map(|((row, all), &target)| all - row[target as usize] + z * all * all);
    let loss = losses.sum::<f64>() / rows.len() as f64;
    vec![Array { dims: Vec::new(), data: vec![loss] }, Array { dims: targets.dims.clone(), data: all }]
}

/// Rotates (x[j], x[j + d/2]) by t·base^(−2j/d).
pub fn rope(x: &Array, base: f64, inverse: bool) -> Array {
    let dim = x.dims[3];
    Array::from_fn(&x.dims, |i| {
        let &[b, t, h, d] = i else { unreachable!() };
        let j = d % (dim / 2);
        let angle = t as f64 * base.powf(-2.0 * j as f64 / dim as f64) * if inverse { -1.0 } else { 1.0 };
        let (lower, upper) = (x.at(&[b, t, h, j]), x.at(&[b, t, h, j + dim / 2]));
        if d == j { lower * angle.cos() - upper * angle.sin() } else { lower * angle.sin() + upper * angle.cos() }
    })
}

/// x/|x|, then for each (a, b, c) x ← a·x + (b·A + c·A²)·x with A = x·xᵀ.
pub fn newton_schulz(x: &Array, coefficients: &[[f32; 3]]) -> Array {
    let [.., rows, columns] = x.dims[..] else { panic!("x has {} axes", x.dims.len()) };
    let matrices = x.data.chunks(rows * columns).flat_map(|matrix| {
        let norm = matrix.iter().map(|x| x * x).sum::<f64>().sqrt();
        let mut x = Array { dims: vec![rows, columns], data: matrix.iter().map(|x| x / norm).collect() };
        for [p, q, r] in coefficients.iter().map(|step| step.map(f64::from)) {
            let a = matmul(&x, &x, false, true);
            let aa = matmul(&a, &a, false, false);
            let mix = Array::from_fn(&a.dims, |i| q * a.at(i) + r * aa.at(i));
            let added = matmul(&mix, &x, false, false);
            x = Array::from_fn(&x.dims, |i| p * x.at(i) + added.at(i));
        }
        x.data
    });
    Array { dims: x.dims.clone(), data: matrices.collect() }
}

/// New x, m and v.
pub fn adamw([x, grad, m, v]: [&Array; 4], how: &AdamW) -> Vec<Array> {
    let [lr, beta1, beta2, eps, decay] = [how.lr, how.beta1, how.beta2, how.eps, how.weight_decay].map(f64::from);
    let step = how.step as i32;
    let m = Array::from_fn(&x.dims, |i| beta1 * m.at(i) + (1.0 - beta1) * grad.at(i));
    let v = Array::from_fn(&x.dims, |i| beta2 * v.at(i) + (1.0 - beta2) * grad.at(i).powi(2));
    let x = Array::from_fn(&x.dims, |i| {
        let first = m.at(i) / (1.0 - beta1.powi(step));
        let second = v.at(i) / (1.0 - beta2.powi(step));
        x.at(i) - lr * decay * x.at(i) - lr * first / (second.sqrt() + eps)
    });
    vec![x, m, v]
}
