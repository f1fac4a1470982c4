//! Matrix products. Every output element is accumulated over k in increasing order with fused multiply-add from 0, in
//! blocks of [`KC`] whose sums are added in order; vectorised across outputs, never across k, so that all paths agree
//! in bits. The loops and their blocking follow Goto and Van de Geijn, *Anatomy of High-Performance Matrix
//! Multiplication* (2008). One thread; callers spread pieces.

use super::matrix::{Tile, View};
use super::micro::{Kernel, Left, MR, NR};
use super::pack;
use super::path::Path;
use super::prefetch::Prefetch;
use super::scratch::{self, Scratch};
use std::ops::Range;

/// Length of a block of k: part of the numerics class.
pub const KC: usize = 256;
/// Rows of A that stay in the second-level cache while the panels of B pass.
const MC: usize = 264;
/// Step between terms up to which rows of a transposed A are read where they lie: their lines stay in the nearest
/// caches (measured: packing costs 5% of a product more at 128, and saves 10% at 1024).
const NEAR: usize = 320;
/// Columns of B that are packed at a time where the caller has not packed it.
const NC: usize = 256;

/// Sizes of a product: C [m, n] from A [m, k] and B [k, n].
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
}

/// The second operand: as it lies in memory, or packed before by [`pack`].
#[derive(Clone, Copy, Debug)]
pub enum Factor<'a> {
    /// Packed piece by piece when it is used.
    Plain(View<'a>),
    /// Packed before.
    Packed(Packed<'a>),
}

/// A packed factor, or the end of one.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    data: &'a [f32],
    /// Terms of a whole panel.
    terms: usize,
    /// Terms that are skipped.
    skip: usize,
}

impl<'a> Packed<'a> {
    /// A factor [k, n] that [`pack`] has packed.
    pub fn new(data: &'a [f32], k: usize) -> Self {
        Self { data, terms: k, skip: 0 }
    }

    /// From a column on, which must begin a panel.
    pub fn columns_from(self, column: usize) -> Self {
        assert!(column.is_multiple_of(NR), "column {column} begins no panel");
        Self { data: &self.data[column * self.terms..], ..self }
    }

    /// From a term on.
    pub fn terms_from(self, term: usize) -> Self {
        Self { skip: self.skip + term, ..self }
    }

    fn holds(self, k: usize, n: usize) -> bool {
        self.skip + k <= self.terms && packed_len(self.terms, n) <= self.data.len()
    }
}

/// Which part of a product with a triangular operand or result is computed, by row: the rest is known to be zero, or
/// not needed. A few elements beyond the edge are computed all the same, whatever they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// All of it.
    None,
    /// Of row i the columns up to i + this.
    Columns(usize),
    /// Of row i the terms up to i + this.
    TermsUpTo(usize),
    /// Of row i the terms from i − this on.
    TermsFrom(usize),
}

impl Edge {
    /// Columns and terms of a tile of rows.
    fn bounds(self, rows: &Range<usize>, sizes: Sizes) -> (usize, Range<usize>) {
        match self {
            Edge::None => (sizes.n, 0..sizes.k),
            Edge::Columns(d) => (sizes.n.min(rows.end + d), 0..sizes.k),
            Edge::TermsUpTo(d) => (sizes.n, 0..sizes.k.min(rows.end + d)),
            Edge::TermsFrom(d) => (sizes.n, rows.start.saturating_sub(d).min(sizes.k)..sizes.k),
        }
    }
}

/// Elements of a packed k × n factor.
pub fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(NR) * NR * k
}

/// Packs all of B [k, n].
pub fn pack(path: Path, b: View, k: usize, n: usize, out: &mut [f32]) {
    pack_panels(path, b, k, n, 0, out);
}

/// Packs the panels of 16 columns from panel `first` on, as many as `out` takes: column blocks one after another, in
/// each row after row of 16, zeros beyond the edge.
pub fn pack_panels(path: Path, b: View, k: usize, n: usize, first: usize, out: &mut [f32]) {
    assert!(b.holds(k, n) && k > 0, "the factor leaves its slice");
    for (i, panel) in out.chunks_exact_mut(NR * k).enumerate() {
        let start = (first + i) * NR;
        pack::columns(path, b, 0..k, start..n.min(start + NR), panel);
    }
}

/// C = A·B, or C += A·B where `add`.
pub fn multiply(path: Path, sizes: Sizes, a: View, b: Factor, c: &mut Tile, add: bool) {
    multiply_edge(path, sizes, a, b, c, add, Edge::None);
}

/// As [`multiply`], without the part beyond an edge.
pub fn multiply_edge(path: Path, sizes: Sizes, a: View, b: Factor, c: &mut Tile, add: bool, edge: Edge) {
    let Sizes { m, n, k } = sizes;
    assert!(m <= c.rows && n <= c.cols, "the product does not fit its tile");
    assert!(a.holds(m, k), "the first factor leaves its slice");
    match b {
        Factor::Plain(b) => assert!(b.holds(k, n), "the second factor leaves its slice"),
        Factor::Packed(b) => assert!(b.holds(k, n), "the second factor is not all packed"),
    }
    let kernel = Kernel::of(path);
    let mut packed_a = scratch::take();
    let mut packed_b = scratch::take();
    let plain = match b {
        Factor::Plain(b) => b,
        Factor::Packed(_) => View { data: &[], row: 1, col: 1 },
    };
    for columns in blocks(n, NC) {
        for terms in blocks(k, KC) {
            let b = match b {
                Factor::Packed(b) => {
                    let skip = NR * (b.skip + terms.start);
                    Panels { data: b.data, first: columns.start / NR, step: NR * b.terms, skip }
                }
                Factor::Plain(b) => {
                    let data = packed_b.slice(packed_len(terms.len(), columns.len()));
                    for (i, panel) in data.chunks_exact_mut(NR * terms.len()).enumerate() {
                        let start = columns.start + i * NR;
                        pack::columns(path, b, terms.clone(), start..columns.end.min(start + NR), panel);
                    }
                    Panels { data, first: 0, step: NR * terms.len(), skip: 0 }
                }
            };
            let next = terms.end..k.min(terms.end + KC);
            let tiles = m.div_ceil(MR) * columns.len().div_ceil(NR);
            let mut prefetch = Prefetch::new(path, (a, 0..m), (plain, columns.clone()), next, tiles);
            for rows in blocks(m, MC) {
                let a = Rows::new(path, a, rows.clone(), terms.clone(), &mut packed_a);
                let part = Part { kernel, sizes, rows, columns: columns.clone(), terms: terms.clone(), add, edge };
                part.run(&a, &b, c, &mut prefetch);
            }
        }
    }
    scratch::give(packed_a);
    scratch::give(packed_b);
}

/// Consecutive ranges of at most `step` that make up 0..n.
fn blocks(n: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(step).map(move |start| start..n.min(start + step))
}

/// A block of rows of A: as it lies where rows are contiguous or near each other, else packed in tiles of 6 rows,
/// element (i, p) at 6·p + i.
struct Rows<'a> {
    data: &'a [f32],
    /// Step between rows of a tile, between terms, and between tiles.
    row: usize,
    term: usize,
    tile: usize,
}

impl<'a> Rows<'a> {
    fn new(path: Path, a: View<'a>, rows: Range<usize>, terms: Range<usize>, packed: &'a mut Scratch) -> Self {
        if a.col == 1 {
            let data = &a.data[rows.start * a.row + terms.start..];
            return Self { data, row: a.row, term: 1, tile: MR * a.row };
        }
        if a.row == 1 && a.col <= NEAR {
            let data = &a.data[rows.start + terms.start * a.col..];
            return Self { data, row: 1, term: a.col, tile: MR };
        }
        let kc = terms.len();
        // The last copy of 8 elements for 6 writes 2 beyond the end.
        let data = packed.slice(rows.len().div_ceil(MR) * MR * kc + 2);
        pack::rows(path, a, rows, terms, data);
        Self { data, row: 1, term: MR, tile: MR * kc }
    }
}

/// Packed panels of B: panel j of the block starts at (first + j)·step + skip.
struct Panels<'a> {
    data: &'a [f32],
    first: usize,
    step: usize,
    skip: usize,
}

/// One block of rows, columns and terms.
struct Part {
    kernel: Kernel,
    sizes: Sizes,
    rows: Range<usize>,
    columns: Range<usize>,
    terms: Range<usize>,
    add: bool,
    edge: Edge,
}

impl Part {
    fn run(&self, a: &Rows, b: &Panels, c: &mut Tile, prefetch: &mut Prefetch) {
        for (j, start) in self.columns.clone().step_by(NR).enumerate() {
            let width = NR.min(self.columns.end - start);
            let panel = &b.data[(b.first + j) * b.step + b.skip..];
            for (i, first) in self.rows.clone().step_by(MR).enumerate() {
                let rows = first..self.rows.end.min(first + MR);
                self.tile(a, i, panel, c, rows, start..start + width);
                prefetch.touch();
            }
        }
    }

    /// Tile `i` of the block of rows.
    fn tile(&self, a: &Rows, i: usize, panel: &[f32], c: &mut Tile, rows: Range<usize>, columns: Range<usize>) {
        let (width, wanted) = self.edge.bounds(&rows, self.sizes);
        if columns.start >= width {
            return;
        }
        let terms = self.terms.start.max(wanted.start)..self.terms.end.min(wanted.end);
        let add = self.add || self.terms.start > wanted.start;
        if terms.is_empty() {
            if !add && self.terms.start == 0 && wanted.is_empty() {
                rows.for_each(|row| c.row(row)[columns.clone()].fill(0.0));
            }
            return;
        }
        let skip = terms.start - self.terms.start;
        let left = Left { data: &a.data[i * a.tile + skip * a.term..], row: a.row, term: a.term };
        self.kernel.tile(left, &panel[skip * NR..], terms.len(), c.part(rows, columns), add);
    }
}
