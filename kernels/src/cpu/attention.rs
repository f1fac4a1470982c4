//! Attention over grouped heads. Queries go in blocks of [`BLOCK`] rows; keys that no row of a block sees are skipped,
//! the others masked, so a non-finite value that is masked can still show within its block. Probabilities are computed
//! again for the gradient (Dao et al., *FlashAttention*, 2022).

use super::gemm::{self, Edge, Factor, Packed, Sizes};
use super::matrix::{Tile, View};
use super::path::{Path, kernel};
use super::scratch;
use super::{math, reduce};
use std::ops::Range;

/// Rows of one block of queries: part of the numerics class.
pub const BLOCK: usize = 64;
/// Blocks begin at a multiple of this among the keys: whole panels of packed ones.
const PANEL: usize = 16;

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
    /// Positions do not see those after themselves.
    pub causal: bool,
    /// Positions see those nearer than this, themselves included; 0 means any distance.
    pub window: usize,
    /// Factor of the scores.
    pub scale: f32,
}

/// One block of queries and the keys that it sees.
#[derive(Clone, Copy)]
struct Block {
    start: usize,
    rows: usize,
    /// The first key, a multiple of [`PANEL`].
    from: usize,
    keys: usize,
}

impl Geometry {
    fn blocks(self) -> impl Iterator<Item = Block> {
        (0..self.time).step_by(BLOCK).map(move |start| {
            let rows = BLOCK.min(self.time - start);
            let from = if self.window == 0 { 0 } else { (start + 1).saturating_sub(self.window) / PANEL * PANEL };
            Block { start, rows, from, keys: self.end(start + rows - 1) - from }
        })
    }

    /// One past the last key that a position sees.
    fn end(self, position: usize) -> usize {
        match (self.causal, self.window) {
            (true, _) => position + 1,
            (false, 0) => self.time,
            (false, window) => self.time.min(position + window),
        }
    }

    /// Positions from `start` on of one head in a tensor [batch, time, heads, dim].
    fn head(self, x: &[f32], batch: usize, heads: usize, head: usize, start: usize) -> View<'_> {
        let at = self.at(batch, heads, head, start);
        View { data: &x[at..], row: heads * self.dim, col: 1 }
    }

    fn at(self, batch: usize, heads: usize, head: usize, start: usize) -> usize {
        ((batch * self.time + start) * heads + head) * self.dim
    }

    /// Keys of `block` that query `row` sees, counted from the block's first key.
    fn seen(self, block: Block, row: usize) -> Range<usize> {
        let position = block.start + row;
        let first = if self.window == 0 { 0 } else { (position + 1).saturating_sub(self.window) };
        first - block.from..self.end(position) - block.from
    }

    /// The parts that are computed: of a block's scores, of products with them, and of products with their transpose.
    fn edges(self, block: Block) -> [Edge; 3] {
        let diagonal = block.start - block.from;
        let edges = [Edge::Columns(diagonal), Edge::TermsUpTo(diagonal), Edge::TermsFrom(diagonal)];
        if self.causal { edges } else { [Edge::None; 3] }
    }

    /// All heads, for results [batch, time, heads, dim].
    pub fn all(self) -> Part {
        Part { pairs: 0..self.batch * self.groups, apart: false }
    }

    /// Query heads of a key head.
    fn heads_of(self, group: usize) -> Range<usize> {
        let each = self.heads / self.groups;
        group * each..(group + 1) * each
    }

    /// Rows of a block's scores: a little longer than its keys, so that rows do not fall on the same lines of the
    /// cache.
    fn stride(self) -> usize {
        self.time.next_multiple_of(PANEL) + PANEL
    }
}

/// Which sequences and key heads are computed: pair i is key head i mod groups of sequence i / groups.
#[derive(Clone, Debug)]
pub struct Part {
    /// The pairs.
    pub pairs: Range<usize>,
    /// Results of each pair lie apart: [pairs, time, its heads, dim].
    pub apart: bool,
}

impl Part {
    /// Positions of one of the pair's `each` heads in a result.
    fn head_mut<'a>(
        &self,
        g: Geometry,
        x: &'a mut [f32],
        pair: usize,
        (head, each): (usize, usize),
        rows: Range<usize>,
    ) -> Tile<'a> {
        let (start, stride) = if self.apart {
            (((pair - self.pairs.start) * g.time + rows.start) * each + head, each)
        } else {
            let (b, heads) = (pair / g.groups, each * g.groups);
            ((b * g.time + rows.start) * heads + pair % g.groups * each + head, heads)
        };
        Tile::within(&mut x[start * g.dim..], rows.len(), g.dim, stride * g.dim)
    }
}

/// Sets the scores of keys that a row does not see to 0.
fn mask(scores: &mut [f32], block: Block, seen: &Range<usize>) {
    scores[..seen.start].fill(0.0);
    scores[seen.end..block.keys].fill(0.0);
}

/// The attention of q, k, v [batch, time, heads, dim]: y, and logsumexp [pairs, its heads, time].
pub fn forward(path: Path, g: Geometry, part: Part, [q, k, v]: [&[f32]; 3], y: &mut [f32], logsumexp: &mut [f32]) {
    let each = g.heads / g.groups;
    let mut room = [(); 3].map(|()| scratch::take());
    let [keys, values, scores] = &mut room;
    let keys = keys.slice(gemm::packed_len(g.dim, g.time));
    let values = values.slice(gemm::packed_len(g.time, g.dim));
    let scores = scores.slice(BLOCK * g.stride());
    for pair in part.pairs.clone() {
        let (b, group) = (pair / g.groups, pair % g.groups);
        gemm::pack(path, g.head(k, b, g.groups, group, 0).transposed(), g.dim, g.time, keys);
        gemm::pack(path, g.head(v, b, g.groups, group, 0), g.time, g.dim, values);
        let (keys, values) = (Packed::new(keys, g.dim), Packed::new(values, g.time));
        for (i, h) in g.heads_of(group).enumerate() {
            let lse = &mut logsumexp[((pair - part.pairs.start) * each + i) * g.time..][..g.time];
            for block in g.blocks() {
                let [columns, terms, _] = g.edges(block);
                let key = Factor::Packed(keys.columns_from(block.from));
                let sizes = Sizes { m: block.rows, n: block.keys, k: g.dim };
                let query = g.head(q, b, g.heads, h, block.start);
                let mut tile = Tile::within(scores, block.rows, block.keys, g.stride());
                gemm::multiply_edge(path, sizes, query, key, &mut tile, false, columns);
                let mut sums = [1.0; BLOCK];
                for (row, scores) in scores.chunks_exact_mut(g.stride()).enumerate().take(block.rows) {
                    let seen = g.seen(block, row);
                    mask(scores, block, &seen);
                    let (max, sum) = reduce::exp_shifted(path, &mut scores[seen], g.scale);
                    sums[row] = sum;
                    lse[block.start + row] = max + math::log(sum);
                }
                let value = Factor::Packed(values.terms_from(block.from));
                let mut out = part.head_mut(g, y, pair, (i, each), block.start..block.start + block.rows);
                let sizes = Sizes { m: block.rows, n: g.dim, k: block.keys };
                let weights = View { data: scores, row: g.stride(), col: 1 };
                gemm::multiply_edge(path, sizes, weights, value, &mut out, false, terms);
                for (row, sum) in sums.iter().enumerate().take(block.rows) {
                    let scale = 1.0 / sum;
                    out.row(row).iter_mut().for_each(|y| *y *= scale);
                }
            }
        }
    }
    room.into_iter().for_each(scratch::give);
}

/// Operands of the gradient.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a> {
    /// Queries, keys, values.
    pub qkv: [&'a [f32]; 3],
    /// The result of the forward op.
    pub y: &'a [f32],
    /// Logsumexp of each row's scores, [batch, heads, time].
    pub logsumexp: &'a [f32],
    /// Gradient of y.
    pub dy: &'a [f32],
}

/// dq, dk, dv; dk and dv grow in the order of query heads, then of query blocks.
pub fn backward(path: Path, g: Geometry, part: Part, saved: Saved, [dq, dk, dv]: [&mut [f32]; 3]) {
    let [_, k, v] = saved.qkv;
    dk.fill(0.0);
    dv.fill(0.0);
    let mut room = [(); 3].map(|()| scratch::take());
    let [across, values, down] = &mut room;
    let across = across.slice(gemm::packed_len(g.dim, g.time));
    let values = values.slice(gemm::packed_len(g.dim, g.time));
    let down = down.slice(gemm::packed_len(g.time, g.dim));
    for pair in part.pairs.clone() {
        let (b, group) = (pair / g.groups, pair % g.groups);
        let (key, value) = (g.head(k, b, g.groups, group, 0), g.head(v, b, g.groups, group, 0));
        gemm::pack(path, key.transposed(), g.dim, g.time, across);
        gemm::pack(path, value.transposed(), g.dim, g.time, values);
        gemm::pack(path, key, g.time, g.dim, down);
        let packed = [Packed::new(across, g.dim), Packed::new(values, g.dim), Packed::new(down, g.time)];
        for i in 0..g.heads / g.groups {
            head_backward(path, g, &part, saved, packed, (pair, i), [&mut *dq, &mut *dk, &mut *dv]);
        }
    }
    room.into_iter().for_each(scratch::give);
}

fn head_backward(
    path: Path,
    g: Geometry,
    part: &Part,
    saved: Saved,
    [across, values, down]: [Packed; 3],
    (pair, i): (usize, usize),
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let each = g.heads / g.groups;
    let (b, h) = (pair / g.groups, pair % g.groups * each + i);
    let mut room = [(); 2].map(|()| scratch::take());
    let [p, ds] = &mut room;
    let (p, ds) = (p.slice(BLOCK * g.stride()), ds.slice(BLOCK * g.stride()));
    let lse = &saved.logsumexp[(b * g.heads + h) * g.time..][..g.time];
    for block in g.blocks() {
        let [columns, up_to, from] = g.edges(block);
        let rows = block.start..block.start + block.rows;
        let [query, slope, out] = [saved.qkv[0], saved.dy, saved.y].map(|x| g.head(x, b, g.heads, h, block.start));
        let inner = Sizes { m: block.rows, n: block.keys, k: g.dim };
        for (left, right, to) in [(query, across, &mut *p), (slope, values, &mut *ds)] {
            let right = Factor::Packed(right.columns_from(block.from));
            let mut to = Tile::within(to, block.rows, block.keys, g.stride());
            gemm::multiply_edge(path, inner, left, right, &mut to, false, columns);
        }
        let pairs = p.chunks_exact_mut(g.stride()).zip(ds.chunks_exact_mut(g.stride()));
        for (row, (p, ds)) in pairs.enumerate().take(block.rows) {
            let seen = g.seen(block, row);
            mask(p, block, &seen);
            mask(ds, block, &seen);
            let at = row * slope.row;
            let delta = reduce::dot(path, &slope.data[at..at + g.dim], &out.data[at..at + g.dim]);
            row_backward(path, &mut p[seen.clone()], &mut ds[seen], g.scale, lse[block.start + row], delta);
        }
        let (p, ds) = (View { data: p, row: g.stride(), col: 1 }, View { data: ds, row: g.stride(), col: 1 });
        let key = Factor::Packed(down.terms_from(block.from));
        let sizes = Sizes { m: block.rows, n: g.dim, k: block.keys };
        gemm::multiply_edge(path, sizes, ds, key, &mut part.head_mut(g, dq, pair, (i, each), rows), false, up_to);
        let outer = Sizes { m: block.keys, n: g.dim, k: block.rows };
        let keys = block.from..block.from + block.keys;
        for (left, right, to) in [(ds, query, &mut *dk), (p, slope, &mut *dv)] {
            let mut to = part.head_mut(g, to, pair, (0, 1), keys.clone());
            gemm::multiply_edge(path, outer, left.transposed(), Factor::Plain(right), &mut to, true, from);
        }
    }
    room.into_iter().for_each(scratch::give);
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
