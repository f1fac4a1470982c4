//! Matrices within slices, to read and to write.

use crate::fault::Fault;
use crate::spec::listed;
use std::marker::PhantomData;
use std::ops::Range;

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
    pub fn skip_rows(self, i: usize) -> Self {
        Self { data: &self.data[i * self.row..], ..self }
    }

    /// Whether all of rows × cols lies within the slice.
    pub(super) fn holds(self, rows: usize, cols: usize) -> bool {
        rows == 0 || cols == 0 || (rows - 1) * self.row + (cols - 1) * self.col < self.data.len()
    }
}

/// A matrix to write: rows of `cols` elements, `stride` apart.
#[derive(Debug)]
pub struct Tile<'a> {
    pub(super) start: *mut f32,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) stride: usize,
    memory: PhantomData<&'a mut [f32]>,
}

impl<'a> Tile<'a> {
    /// Rows of `cols` elements one after another.
    pub fn dense(data: &'a mut [f32], cols: usize) -> Self {
        Self::within(data, data.len() / cols.max(1), cols, cols)
    }

    /// `rows` rows of `cols` elements, `stride` apart, from the slice's start on.
    pub fn within(data: &'a mut [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(rows == 0 || cols <= stride && (rows - 1) * stride + cols <= data.len(), "a tile leaves its slice");
        Self { start: data.as_mut_ptr(), rows, cols, stride, memory: PhantomData }
    }

    /// Row `i`, to write.
    pub fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        // SAFETY: the row lies within the tile, which this borrow holds alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(i * self.stride), self.cols) }
    }

    /// Some of the rows and columns.
    pub fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> Tile<'_> {
        assert!(rows.end <= self.rows && columns.end <= self.cols, "a part leaves its tile");
        // SAFETY: the part lies within the tile, which this borrow holds alone.
        let start = unsafe { self.start.add(rows.start * self.stride + columns.start) };
        Tile { start, rows: rows.len(), cols: columns.len(), stride: self.stride, memory: PhantomData }
    }
}

/// Sizes of the last two axes.
pub(super) fn last_two(dims: &[u32]) -> Result<[usize; 2], Fault> {
    match dims {
        [.., rows, columns] => Ok([*rows as usize, *columns as usize]),
        _ => Err(Fault::Executor(format!("a matrix was expected, not {}", listed(dims)))),
    }
}
