//! Ops that other executors fuse, written out: attention, rotary embedding, cross-entropy, Newton–Schulz, AdamW.

use crate::parts::{product, row_major, softcap, softcap_derivative, transposed};
use candle_core::{D, Device, Result, Tensor};
use kernels::op::{AdamW, Attention, Loss};

/// y [b, t, h, d] and the logsumexp [b, h, t] of the scaled, masked scores.
pub(super) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, how: &Attention) -> Result<Vec<Tensor>> {
    let heads = q.dim(2)?;
    let scores = scores(q, k, how)?;
    let logsumexp = scores.log_sum_exp(D::Minus1)?;
    let y = probabilities(&scores, &logsumexp)?.matmul(&repeat(v, heads)?)?;
    Ok(vec![heads_inside(&y)?, logsumexp])
}

/// dq, dk, dv from [q, k, v, y, logsumexp, dy]. With P the probabilities: dV = Pᵀ dY, dS = P ∘ (dY Vᵀ − Σ(dY ∘ Y)).
pub(super) fn attention_grad([q, k, v, y, logsumexp, dy]: [&Tensor; 6], how: &Attention) -> Result<Vec<Tensor>> {
    let (heads, groups) = (q.dim(2)?, k.dim(2)?);
    let p = probabilities(&scores(q, k, how)?, logsumexp)?;
    let along = heads_outside(&y.mul(dy)?)?.sum_keepdim(D::Minus1)?;
    let dy = heads_outside(dy)?;
    let dp = dy.matmul(&transposed(&repeat(v, heads)?)?)?;
    let ds = p.mul(&dp.broadcast_sub(&along)?)?.affine(f64::from(how.scale), 0.0)?;
    let dq = ds.matmul(&repeat(k, heads)?)?;
    let dk = transposed(&ds)?.matmul(&heads_outside(q)?)?;
    let dv = transposed(&p)?.matmul(&dy)?;
    Ok(vec![heads_inside(&dq)?, gather_groups(&dk, groups)?, gather_groups(&dv, groups)?])
}

/// [b, t, h, d] → [b, h, t, d].
fn heads_outside(x: &Tensor) -> Result<Tensor> {
    row_major(&x.transpose(1, 2)?)
}

/// [b, h, t, d] → [b, t, h, d].
fn heads_inside(x: &Tensor) -> Result<Tensor> {
    row_major(&x.transpose(1, 2)?)
}

/// [b, t, g, d] → [b, h, t, d]: each of the g heads serves h/g neighbouring query heads.
fn repeat(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, time, groups, dim) = x.dims4()?;
    let wide = heads_outside(x)?.unsqueeze(2)?.broadcast_as((batch, groups, heads / groups, time, dim))?;
    wide.contiguous()?.reshape((batch, heads, time, dim))
}

/// [b, h, t, d] → [b, t, g, d]: sums what [`repeat`] repeated.
fn gather_groups(x: &Tensor, groups: usize) -> Result<Tensor> {
    let (batch, heads, time, dim) = x.dims4()?;
    heads_inside(&x.reshape((batch, groups, heads / groups, time, dim))?.sum(2)?)
}

/// Scaled scores [b, h, t, t], −∞ where a query does not see a key.
fn scores(q: &Tensor, k: &Tensor, how: &Attention) -> Result<Tensor> {
    let keys = transposed(&repeat(k, q.dim(2)?)?)?;
    let scores = heads_outside(q)?.matmul(&keys)?.affine(f64::from(how.scale), 0.0)?;
    scores.broadcast_add(&mask(q.dim(1)?, how, q.device())?)
}

/// [t, t]: 0 where position i sees position j, else −∞.
fn mask(time: usize, how: &Attention, device: &Device) -> Result<Tensor> {
    let near = |i: usize, j: usize| how.window == 0 || i.abs_diff(j) < how.window as usize;
    let sees = |i: usize, j: usize| near(i, j) && (j <= i || !how.causal);
    let values: Vec<f32> =
        (0..time * time).map(|at| if sees(at / time, at % time) { 0.0 } else { f32::NEG_INFINITY }).collect();
    Tensor::from_vec(values, (time, time), device)
}

fn probabilities(scores: &Tensor, logsumexp: &Tensor) -> Result<Tensor> {
    scores.broadcast_sub(&logsumexp.unsqueeze(D::Minus1)?)?.exp()
}

/// Rotates the halves of the last axis of x [b, t, h, d] by t·base^(−2j/d).
pub(super) fn rope(x: &Tensor, base: f32, inverse: bool) -> Result<Tensor> {
    let (_, time, _, dim) = x.dims4()?;
    let half = dim / 2;
    let angle = |at: usize| {
        let (t, j) = (at / half, at % half);
        t as f64 * f64::from(base).powf(-2.0 * j as f64 / dim as f64)
    };
    let table = |f: fn(f64) -> f64| {
        let values: Vec<f32> = (0..time * half).map(|at| f(angle(at)) as f32).collect();
        Tensor::from_vec(values, (time, 1, half), x.device())
    };
    let cos = table(f64::cos)?;
    let sin = if inverse { table(f64::sin)?.neg()? } else { table(f64::sin)? };
    let (a, b) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
    let turned_a = a.broadcast_mul(&cos)?.sub(&b.broadcast_mul(&sin)?)?;
    let turned_b = a.broadcast_mul(&sin)?.add(&b.broadcast_mul(&cos)?)?;
    row_major(&Tensor::cat(&[turned_a, turned_b], D::Minus1)?)
}

/// Mean loss [] and the rows' logsumexp [..].
pub(super) fn cross_entropy(logits: &Tensor, targets: &Tensor, how: &Loss) -> Result<Vec<Tensor>> {
    let z = capped_rows(logits, how.softcap)?;
    let max = z.max_keepdim(D::Minus1)?;
    // Beside large logits, the logarithm would be rounded away.
    let shifted = z.broadcast_sub(&max)?;
    let log = shifted.log_sum_exp(D::Minus1)?;
    let picked = shifted.gather(&targets.reshape(((), 1))?, 1)?.squeeze(1)?;
    let logsumexp = max.squeeze(1)?.add(&log)?;
    let losses = log.sub(&picked)?.add(&logsumexp.sqr()?.affine(f64::from(how.z_loss), 0.0)?)?;
    Ok(vec![losses.mean(0)?, logsumexp.reshape(targets.dims())?])
}

/// dlogits: (softmax·(1 + 2·z_loss·logsumexp) − one-hot)·dy/rows, times the softcap's derivative.
pub(super) fn cross_entropy_grad(
    logits: &Tensor,
    targets: &Tensor,
    logsumexp: &Tensor,
    dy: &Tensor,
    how: &Loss,
) -> Result<Tensor> {
    let z = capped_rows(logits, how.softcap)?;
    let (rows, _) = z.dims2()?;
    let logsumexp = logsumexp.reshape((rows, 1))?;
    let shifted = z.broadcast_sub(&z.max_keepdim(D::Minus1)?)?;
    let p = shifted.broadcast_sub(&shifted.log_sum_exp(D::Minus1)?.unsqueeze(1)?)?.exp()?;
    let p = p.broadcast_mul(&logsumexp.affine(2.0 * f64::from(how.z_loss), 1.0)?)?;
    let minus_one = Tensor::full(-1f32, (rows, 1), z.device())?;
    let difference = p.scatter_add(&targets.reshape((rows, 1))?, &minus_one, 1)?;
    let mut dz = difference.broadcast_mul(&dy.affine(1.0 / rows as f64, 0.0)?)?;
    if how.softcap > 0.0 {
        dz = dz.mul(&softcap_derivative(&z, how.softcap)?)?;
    }
    dz.reshape(logits.dims())
}

/// [`cross_entropy`] of x·weightᵀ; and dx and dweight for a loss whose gradient is 1.
pub(super) fn linear_cross_entropy(
    x: &Tensor,
    weight: &Tensor,
    targets: &Tensor,
    how: &Loss,
    gradients: bool,
) -> Result<Vec<Tensor>> {
    let rows = x.reshape(((), x.dim(D::Minus1)?))?;
    let flat = targets.flatten_all()?;
    let logits = rows.matmul(&transposed(weight)?)?;
    let mut made = cross_entropy(&logits, &flat, how)?;
    if gradients {
        let one = Tensor::ones((), logits.dtype(), logits.device())?;
        let dlogits = cross_entropy_grad(&logits, &flat, &made[1], &one, how)?;
        made.push(dlogits.matmul(weight)?.reshape(x.dims())?);
        made.push(transposed(&dlogits)?.matmul(&rows)?);
    }
    made[1] = made[1].reshape(targets.dims())?;
    Ok(made)
}

/// Logits as [rows, v], through the softcap where there is one.
fn capped_rows(logits: &Tensor, cap: f32) -> Result<Tensor> {
    let rows = logits.reshape(((), logits.dim(D::Minus1)?))?;
    if cap > 0.0 { softcap(&rows, cap) } else { Ok(rows) }
}

/// x/|x|, then for each (a, b, c) x ← a·x + (b·A + c·A²)·x with A = x·xᵀ.
pub(super) fn newton_schulz(x: &Tensor, coefficients: &[[f32; 3]]) -> Result<Tensor> {
    let norm = x.sqr()?.sum_keepdim((D::Minus2, D::Minus1))?.sqrt()?;
    let mut x = x.broadcast_div(&norm.affine(1.0, 1e-7)?)?;
    for [a, b, c] in coefficients.iter().map(|step| step.map(f64::from)) {
        let square = product(&x, &transposed(&x)?)?;
        let mix = square.affine(b, 0.0)?.add(&product(&square, &square)?.affine(c, 0.0)?)?;
        x = x.affine(a, 0.0)?.add(&product(&mix, &x)?)?;
    }
    Ok(x)
}

/// New x, m and v of one AdamW step (Loshchilov & Hutter, 2019).
pub(super) fn adamw(x: &Tensor, grad: &Tensor, m: &Tensor, v: &Tensor, how: &AdamW) -> Result<Vec<Tensor>> {
    let (beta1, beta2) = (f64::from(how.beta1), f64::from(how.beta2));
    let m = m.affine(beta1, 0.0)?.add(&grad.affine(1.0 - beta1, 0.0)?)?;
    let v = v.affine(beta2, 0.0)?.add(&grad.sqr()?.affine(1.0 - beta2, 0.0)?)?;
    let unbiased = |beta: f64| 1.0 / (1.0 - beta.powf(f64::from(how.step)));
    let root = v.affine(unbiased(beta2), 0.0)?.sqrt()?.affine(1.0, f64::from(how.eps))?;
    let step = m.affine(unbiased(beta1) * f64::from(how.lr), 0.0)?.div(&root)?;
    let decayed = x.affine(1.0 - f64::from(how.lr) * f64::from(how.weight_decay), 0.0)?;
    Ok(vec![decayed.sub(&step)?, m, v])
}
