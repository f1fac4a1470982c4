//! Operands of a product's next block, fetched into the cache while the present one is computed: sums over many terms
//! read each of them once, from far away. It changes no result.

use super::matrix::View;
use super::path::Path;
use std::ops::Range;

/// Elements of a cache line.
const LINE: usize = 16;

/// A block of an operand, touched line by line.
#[derive(Clone, Copy)]
struct Block<'a> {
    data: &'a [f32],
    /// Contiguous runs, their step, and lines in each.
    runs: usize,
    step: usize,
    lines: usize,
    /// Where the next line is.
    run: usize,
    line: usize,
}

impl<'a> Block<'a> {
    fn new(x: View<'a>, rows: Range<usize>, cols: Range<usize>) -> Self {
        let data = x.data.get(rows.start * x.row + cols.start * x.col..).unwrap_or_default();
        let (runs, step, len) =
            if x.col == 1 { (rows.len(), x.row, cols.len()) } else { (cols.len(), x.col, rows.len()) };
        let contiguous = x.col == 1 || x.row == 1;
        let lines = if contiguous && !data.is_empty() { len.div_ceil(LINE) } else { 0 };
        Self { data, runs: if lines == 0 { 0 } else { runs }, step, lines, run: 0, line: 0 }
    }

    fn len(&self) -> usize {
        self.runs * self.lines
    }

    /// Asks for the next line; false at the end.
    fn touch(&mut self) -> bool {
        if self.run >= self.runs {
            return false;
        }
        if let Some(element) = self.data.get(self.run * self.step + self.line * LINE) {
            fetch(element);
        }
        self.line += 1;
        if self.line == self.lines {
            (self.line, self.run) = (0, self.run + 1);
        }
        true
    }
}

/// Both operands' next blocks.
pub struct Prefetch<'a> {
    blocks: [Block<'a>; 2],
    each: usize,
}

impl<'a> Prefetch<'a> {
    /// Of A [rows, terms] and B [terms, columns], fetched over `calls` calls of [`Prefetch::touch`].
    pub fn new(
        path: Path,
        (a, rows): (View<'a>, Range<usize>),
        (b, columns): (View<'a>, Range<usize>),
        terms: Range<usize>,
        calls: usize,
    ) -> Self {
        let terms = if path.is_avx2() { terms } else { 0..0 };
        let blocks = [Block::new(a, rows, terms.clone()), Block::new(b, terms.clone(), columns)];
        let lines = if terms.is_empty() { 0 } else { blocks[0].len() + blocks[1].len() };
        Self { blocks, each: lines.div_ceil(calls.max(1)) }
    }

    /// Fetches a share.
    pub fn touch(&mut self) {
        let [a, b] = &mut self.blocks;
        for _ in 0..self.each {
            if !a.touch() && !b.touch() {
                self.each = 0;
                return;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn fetch(element: &f32) {
    use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: a prefetch reads nothing that the program sees; the address is that of an element.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(element).cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
fn fetch(_: &f32) {}
