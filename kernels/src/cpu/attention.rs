//! Causal attention over grouped heads and rotary embedding. Queries go in blocks of [`BLOCK`] rows; keys that no row
//! of a block sees are skipped, the others masked, so a non-finite value that is masked can still show within its
//! block. Depends on `gemm` and `reduce`.

use super::gemm::{Sizes, View, multiply};
use super::path::kernel;
use super::threads::Threads;
use super::{math, reduce};

/// Rows of one block of queries: part of the numerics class.
pub const BLOCK: usize = 64;

/// Sizes and scalars of one attention.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Sequences.
    pub batch: usize,
    /// Positions.
    pub time: usize,
    /// Query heads, a multiple of `groups`.
    pub heads: usize,
    /// Key and value heads.
    pub groups: usize,
    /// Width of a head.
    pub dim: usize,
    /// How many positions a row sees, itself included; 0 means all before.
    pub window: usize,
    /// Factor of the scores.
    pub scale: f32,
}

/// One block of queries and the keys that it sees.
#[derive(Clone, Copy)]
struct Block {
    start: usize,
    rows: usize,
    from: usize,
    keys: usize,
}

impl Geometry {
    fn blocks(self) -> impl Iterator<Item = Block> {
        (0..self.time).step_by(BLOCK).map(move |start| {
            let rows = BLOCK.min(self.time - start);
            let from = if self.window == 0 { 0 } else { (start + 1).saturating_sub(self.window) };
            Block { start, rows, from, keys: start + rows - from }
        })
    }

    /// Positions from `start` on of one head in a tensor [batch, time, heads, dim].
    fn head(self, x: &[f32], batch: usize, heads: usize, head: usize, start: usize) -> View<'_> {
        let at = ((batch * self.time + start) * heads + head) * self.dim;
        View { data: &x[at..], row: heads * self.dim, col: 1 }
    }

    fn per_head(self) -> usize {
        self.time * self.dim
    }

    /// Keys of `block` that query `row` sees, counted from the block's first key.
    fn seen(self, block: Block, row: usize) -> std::ops::Range<usize> {
        let position = block.start + row;
        let first = if self.window == 0 { 0 } else { (position + 1).saturating_sub(self.window) };
        first - block.from..position + 1 - block.from
    }

    /// Copies [batch, heads, time, dim] to [batch, time, heads, dim].
    fn interleave(self, threads: &Threads, from: &[f32], heads: usize, stride: usize, out: &mut [f32]) {
        threads.pieces(out, self.time * heads * self.dim, |at, sequence| {
            let batch = at / (self.time * heads * self.dim);
            for (i, row) in sequence.chunks_exact_mut(self.dim).enumerate() {
                let (t, h) = (i / heads, i % heads);
                let at = (batch * heads + h) * stride + t * self.dim;
                row.copy_from_slice(&from[at..at + self.dim]);
            }
        });
    }
}

/// y and logsumexp [batch, heads, time] of q, k, v.
pub fn forward(threads: &Threads, g: Geometry, qkv: [&[f32]; 3], y: &mut [f32], logsumexp: &mut [f32]) {
    let [q, k, v] = qkv;
    let mut by_head = vec![0.0; y.len()];
    let heads = by_head.chunks_mut(g.per_head()).zip(logsumexp.chunks_mut(g.time)).enumerate();
    threads.each(heads, |(i, (out, lse))| {
        let (b, h) = (i / g.heads, i % g.heads);
        let group = h / (g.heads / g.groups);
        let mut scores = vec![0.0; BLOCK.min(g.time) * g.time];
        for block in g.blocks() {
            let (rows, keys) = (block.rows, block.keys);
            let scores = &mut scores[..rows * keys];
            let key = g.head(k, b, g.groups, group, block.from).transposed();
            let query = g.head(q, b, g.heads, h, block.start);
            multiply(threads, Sizes { m: rows, n: keys, k: g.dim }, query, key, scores, false);
            let mut sums = [1.0; BLOCK];
            for (row, scores) in scores.chunks_exact_mut(keys).enumerate() {
                let seen = g.seen(block, row);
                scores[..seen.start].fill(0.0);
                scores[seen.end..].fill(0.0);
                let (max, sum) = reduce::exp_shifted(threads.path, &mut scores[seen], g.scale);
                sums[row] = sum;
                lse[block.start + row] = max + math::log(sum);
            }
            let out = &mut out[block.start * g.dim..][..rows * g.dim];
            let value = g.head(v, b, g.groups, group, block.from);
            let weights = View::dense(scores, keys, false);
            multiply(threads, Sizes { m: rows, n: g.dim, k: keys }, weights, value, out, false);
            for (row, sum) in out.chunks_exact_mut(g.dim).zip(sums) {
                row.iter_mut().for_each(|y| *y /= sum);
            }
        }
    });
    g.interleave(threads, &by_head, g.heads, g.per_head(), y);
}

/// What the gradient reads.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// Queries, keys, values.
    pub qkv: [&'a [f32]; 3],
    /// What the forward op gave.
    pub y: &'a [f32],
    /// Logsumexp of each row's scores.
    pub logsumexp: &'a [f32],
    /// Gradient of y.
    pub dy: &'a [f32],
}

/// dq, dk, dv. Probabilities are computed again; dk and dv grow in the order of query heads, then of query blocks.
pub fn backward(threads: &Threads, g: Geometry, saved: Saved, [dq, dk, dv]: [&mut [f32]; 3]) {
    let per_group = g.heads / g.groups;
    // For each sequence and key head: dq of its query heads, then dk, then dv.
    let stride = (per_group + 2) * g.per_head();
    let mut all = vec![0.0; g.batch * g.groups * stride];
    threads.each(all.chunks_mut(stride).enumerate(), |(i, out)| {
        let (b, group) = (i / g.groups, i % g.groups);
        let (dq, dkv) = out.split_at_mut(per_group * g.per_head());
        let (dk, dv) = dkv.split_at_mut(g.per_head());
        for (j, dq) in dq.chunks_mut(g.per_head()).enumerate() {
            head_backward(threads, g, saved, (b, group * per_group + j, group), [dq, dk, dv]);
        }
    });
    let heads: Vec<f32> = all.chunks(stride).flat_map(|x| &x[..per_group * g.per_head()]).copied().collect();
    g.interleave(threads, &heads, g.heads, g.per_head(), dq);
    g.interleave(threads, &all[per_group * g.per_head()..], g.groups, stride, dk);
    g.interleave(threads, &all[(per_group + 1) * g.per_head()..], g.groups, stride, dv);
}

fn head_backward(
    threads: &Threads,
    g: Geometry,
    saved: Saved,
    (b, h, group): (usize, usize, usize),
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let [q, k, v] = saved.qkv;
    let mut scores = vec![0.0; BLOCK.min(g.time) * g.time];
    let mut slopes = vec![0.0; scores.len()];
    for block in g.blocks() {
        let (rows, keys) = (block.rows, block.keys);
        let (p, ds) = (&mut scores[..rows * keys], &mut slopes[..rows * keys]);
        let inner = Sizes { m: rows, n: keys, k: g.dim };
        let query = g.head(q, b, g.heads, h, block.start);
        let key = g.head(k, b, g.groups, group, block.from);
        let value = g.head(v, b, g.groups, group, block.from);
        let slope = g.head(saved.dy, b, g.heads, h, block.start);
        let out = g.head(saved.y, b, g.heads, h, block.start);
        multiply(threads, inner, query, key.transposed(), p, false);
        multiply(threads, inner, slope, value.transposed(), ds, false);
        for (row, (p, ds)) in p.chunks_exact_mut(keys).zip(ds.chunks_exact_mut(keys)).enumerate() {
            let seen = g.seen(block, row);
            let at = row * slope.row;
            let delta = reduce::dot(threads.path, &slope.data[at..at + g.dim], &out.data[at..at + g.dim]);
            let lse = saved.logsumexp[(b * g.heads + h) * g.time + block.start + row];
            for x in [&mut *p, &mut *ds] {
                x[..seen.start].fill(0.0);
                x[seen.end..].fill(0.0);
            }
            row_backward(threads.path, &mut p[seen.clone()], &mut ds[seen], g.scale, lse, delta);
        }
        let (p, ds) = (View::dense(p, keys, false), View::dense(ds, keys, false));
        let outer = Sizes { m: keys, n: g.dim, k: rows };
        let range = block.from * g.dim..(block.from + keys) * g.dim;
        let dq = &mut dq[block.start * g.dim..][..rows * g.dim];
        multiply(threads, Sizes { m: rows, n: g.dim, k: keys }, ds, key, dq, false);
        multiply(threads, outer, ds.transposed(), query, &mut dk[range.clone()], true);
        multiply(threads, outer, p.transposed(), slope, &mut dv[range], true);
    }
}

kernel! {
    /// Scores become probabilities; gradients of probabilities become those of unscaled scores.
    fn row_backward(p: &mut [f32], ds: &mut [f32], scale: f32, lse: f32, delta: f32) {
        for (p, ds) in p.iter_mut().zip(ds) {
            *p = math::exp(math::fma(*p, scale, -lse));
            *ds = *p * (*ds - delta) * scale;
        }
    }
}

/// Rotary embedding (Su et al., 2021) of x [batch, time, heads, dim]: halves of each head are rotated against each
/// other by t·base^(−2j/dim), or by the opposite angle. An odd last element stays.
pub fn rope(threads: &Threads, x: &[f32], y: &mut [f32], dims: [usize; 3], base: f32, inverse: bool) {
    let [time, heads, dim] = dims;
    let half = dim / 2;
    let frequency = |j: usize| math::power(f64::from(base), -2.0 * j as f64 / dim as f64);
    let frequencies: Vec<f64> = (0..half).map(frequency).collect();
    let mut table = vec![(0.0, 0.0); time * half];
    threads.pieces(&mut table, 4096, |at, piece| {
        for (i, slot) in (at..).zip(piece) {
            let (t, j) = (i / half, i % half);
            let (sin, cos) = math::sin_cos(t as f64 * frequencies[j]);
            *slot = (if inverse { -sin as f32 } else { sin as f32 }, cos as f32);
        }
    });
    let row = heads * dim;
    threads.pieces(y, row * 64, |at, piece| {
        for (i, y) in piece.chunks_exact_mut(dim).enumerate() {
            let from = at + i * dim;
            let x = &x[from..from + dim];
            let t = from / row % time;
            rotate(threads.path, x, y, &table[t * half..(t + 1) * half]);
        }
    });
}

kernel! {
    fn rotate(x: &[f32], y: &mut [f32], table: &[(f32, f32)]) {
        let half = table.len();
        y[2 * half..].copy_from_slice(&x[2 * half..]);
        let (a, b) = x.split_at(half);
        let (ya, yb) = y.split_at_mut(half);
        for i in 0..half {
            let (sin, cos) = table[i];
            ya[i] = math::fma(a[i], cos, -(b[i] * sin));
            yb[i] = math::fma(a[i], sin, b[i] * cos);
        }
    }
}
