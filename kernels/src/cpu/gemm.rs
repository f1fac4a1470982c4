//! Matrix products. Every output element is accumulated over k in increasing order with fused multiply-add from 0, in
//! blocks of [`KC`] whose sums are added in order; vectorised across outputs, never across k. Depends on `math` and `threads`.

use super::math::fma;
use super::path::kernel;
use super::threads::Threads;
use std::cell::RefCell;

/// Length of a block of k: part of the numerics class.
pub const KC: usize = 256;
const MR: usize = 6;
const NR: usize = 16;
/// Most rows of one task: a packed block of A stays in the second-level cache.
const MC: usize = 96;

/// A matrix within a slice: element (i, j) is at `i * row + j * col`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Step between rows.
    pub row: usize,
    /// Step between columns.
    pub col: usize,
}

impl<'a> View<'a> {
    /// Rows of `cols` elements one after another, transposed where flagged.
    pub fn dense(data: &'a [f32], cols: usize, transposed: bool) -> Self {
        let (row, col) = if transposed { (1, cols) } else { (cols, 1) };
        Self { data, row, col }
    }

    /// The same memory, rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self { data: self.data, row: self.col, col: self.row }
    }

    /// From row `i` on.
    fn skip_rows(self, i: usize) -> Self {
        Self { data: &self.data[i * self.row..], ..self }
    }
}

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

/// Multiply-adds below which a product stays on one thread: some tens of microseconds.
const SPREAD: usize = 1 << 20;
/// Elements of the second operand that one thread packs at a time.
const PACKED_PIECE: usize = 32_768;

thread_local! {
    static SCRATCH: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// C = A·B on the calling thread, or C += A·B where `accumulate`; rows of C are dense.
pub fn multiply(threads: &Threads, sizes: Sizes, a: View, b: View, c: &mut [f32], accumulate: bool) {
    SCRATCH.with_borrow_mut(|(pa, pb)| {
        pb.resize(packed_len(sizes), 0.0);
        for (i, panel) in pb.chunks_mut(panel_len(sizes)).enumerate() {
            pack_columns(b, sizes, i, panel);
        }
        for (i, rows) in c.chunks_mut(MC * sizes.n).enumerate() {
            multiply_rows(threads, sizes, a.skip_rows(i * MC), pb, pa, rows, accumulate);
        }
    });
}

/// C = A·B spread over the threads by rows.
pub fn multiply_spread(threads: &Threads, sizes: Sizes, a: View, b: View, c: &mut [f32]) {
    if sizes.m * sizes.n * sizes.k < SPREAD {
        return multiply(threads, sizes, a, b, c, false);
    }
    // Taken out while the threads run: one of them may be asked for its own scratch.
    let mut packed = SCRATCH.with_borrow_mut(|(_, pb)| std::mem::take(pb));
    packed.resize(packed_len(sizes), 0.0);
    let panels = PACKED_PIECE.div_ceil(panel_len(sizes)) * panel_len(sizes);
    threads.pieces(&mut packed, panels, |at, piece| {
        for (i, panel) in piece.chunks_mut(panel_len(sizes)).enumerate() {
            pack_columns(b, sizes, at / panel_len(sizes) + i, panel);
        }
    });
    let rows = if sizes.m <= 4 * MC { sizes.m.div_ceil(8).next_multiple_of(MR) } else { MC };
    threads.pieces(c, rows * sizes.n, |at, piece| {
        SCRATCH.with_borrow_mut(|(pa, _)| {
            multiply_rows(threads, sizes, a.skip_rows(at / sizes.n), &packed, pa, piece, false);
        });
    });
    SCRATCH.with_borrow_mut(|(_, pb)| *pb = packed);
}

fn panel_len(sizes: Sizes) -> usize {
    sizes.k * NR
}

fn packed_len(sizes: Sizes) -> usize {
    sizes.n.div_ceil(NR) * panel_len(sizes)
}

/// Columns 16·i.. of B: row after row of 16, zeros beyond the edge.
fn pack_columns(b: View, sizes: Sizes, i: usize, panel: &mut [f32]) {
    let start = i * NR;
    let width = NR.min(sizes.n - start);
    if b.col == 1 {
        for (p, row) in panel.chunks_exact_mut(NR).enumerate() {
            let from = p * b.row + start;
            row[..width].copy_from_slice(&b.data[from..from + width]);
            row[width..].fill(0.0);
        }
        return;
    }
    panel.fill(0.0);
    for j in 0..width {
        let column = b.data[(start + j) * b.col..].iter().step_by(b.row.max(1));
        for (row, &value) in panel.chunks_exact_mut(NR).zip(column) {
            row[j] = value;
        }
    }
}

/// Rows of one block of A, six at a time: element (i, p) at p·6 + i of its panel.
fn pack_rows(a: View, rows: usize, from: usize, kc: usize, packed: &mut [f32]) {
    for (i, panel) in packed.chunks_exact_mut(MR * kc).enumerate() {
        for r in 0..MR {
            let row = i * MR + r;
            if row < rows {
                let values = a.data[row * a.row + from * a.col..].iter().step_by(a.col.max(1));
                for (slot, &value) in panel.chunks_exact_mut(MR).zip(values) {
                    slot[r] = value;
                }
            } else {
                panel.chunks_exact_mut(MR).for_each(|slot| slot[r] = 0.0);
            }
        }
    }
}

fn multiply_rows(t: &Threads, sizes: Sizes, a: View, b: &[f32], pa: &mut Vec<f32>, c: &mut [f32], accumulate: bool) {
    let rows = c.len() / sizes.n;
    for from in (0..sizes.k).step_by(KC) {
        let kc = KC.min(sizes.k - from);
        pa.resize(rows.next_multiple_of(MR) * kc, 0.0);
        pack_rows(a, rows, from, kc, pa);
        let add = accumulate || from > 0;
        for (j, panel) in b.chunks_exact(panel_len(sizes)).enumerate() {
            let panel = &panel[from * NR..(from + kc) * NR];
            for (i, block) in pa.chunks_exact(MR * kc).enumerate() {
                let tile = tile(t.path, block, panel);
                let first = i * MR;
                let width = NR.min(sizes.n - j * NR);
                for (r, sums) in tile.iter().enumerate().take(rows - first) {
                    let at = (first + r) * sizes.n + j * NR;
                    let out = &mut c[at..at + width];
                    if add {
                        out.iter_mut().zip(sums).for_each(|(c, s)| *c += s);
                    } else {
                        out.copy_from_slice(&sums[..width]);
                    }
                }
            }
        }
    }
}

kernel! {
    /// A 6×16 tile of sums over one block of k.
    fn tile(a: &[f32], b: &[f32]) -> [[f32; NR]; MR] {
        let mut sums = [[0.0f32; NR]; MR];
        for (a, b) in a.as_chunks::<MR>().0.iter().zip(b.as_chunks::<NR>().0) {
            for i in 0..MR {
                for j in 0..NR {
                    sums[i][j] = fma(a[i], b[j], sums[i][j]);
                }
            }
        }
        sums
    }
}
