//! Arrays of cells. Along an axis where all cells are alike, one is held for all: tokens fill rows × positions, not the
//! channels behind them.

use super::cell::Cell;
use crate::spec::{MAX_RANK, Spec};
use smallvec::{SmallVec, smallvec};

/// Sizes or steps by axis.
pub type Axes = SmallVec<[usize; MAX_RANK]>;

/// The cells of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// By axis the tensor's size, or 1 where all are alike.
    pub held: Axes,
    /// Row-major.
    pub data: Vec<Cell>,
}

/// A tensor of cells.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The tensor's shape and dtype.
    pub spec: Spec,
    /// Its elements.
    pub cells: Cells,
    /// Something that differs by place had a part in it, other than tokens: an index made of it may know where it is.
    pub placed: bool,
    /// A named buffer had a part in it.
    pub stored: bool,
}

impl Traced {
    /// Sizes by axis.
    pub fn sizes(&self) -> Axes {
        sizes(&self.spec)
    }

    /// A tensor of one cell everywhere.
    pub fn uniform(spec: Spec, cell: Cell) -> Self {
        let placed = cell == Cell::Free;
        Self { cells: Cells::uniform(spec.shape.rank(), cell), spec, placed, stored: false }
    }

    /// Whether every value is known.
    pub fn is_known(&self) -> bool {
        self.cells.data.iter().all(|cell| cell.is_known())
    }

    /// Whether it depends on a token.
    pub fn reads(&self) -> bool {
        self.cells.data.iter().any(|cell| matches!(cell, Cell::Reads { .. }))
    }

    /// Whether an element is known to be zero.
    pub fn has_zero(&self) -> bool {
        self.cells.data.iter().any(|cell| cell.is_zero(self.spec.dtype))
    }
}

/// Sizes by axis.
pub fn sizes(spec: &Spec) -> Axes {
    spec.shape.dims().iter().map(|&size| size as usize).collect()
}

impl Cells {
    /// One cell for all, of a tensor of this rank.
    pub fn uniform(rank: usize, cell: Cell) -> Self {
        Self { held: smallvec![1; rank], data: vec![cell] }
    }

    /// Cells that are all held.
    pub fn whole(held: Axes, data: Vec<Cell>) -> Self {
        Self { held, data }
    }

    /// How far the next cell along each axis lies; 0 where one is held for all.
    pub fn steps(&self) -> Axes {
        let mut step = 1;
        let mut steps: Axes = smallvec![0; self.held.len()];
        for (axis, &size) in self.held.iter().enumerate().rev() {
            if size > 1 {
                steps[axis] = step;
            }
            step *= size;
        }
        steps
    }

    /// The same with more cells held: `held` is a size or 1 for each axis, at least what is held now.
    pub fn filled(&self, held: &[usize]) -> Self {
        if self.held.as_slice() == held {
            return self.clone();
        }
        let mut data = Vec::with_capacity(held.iter().product());
        walk(held, [&self.steps()], |[at]| data.push(self.data[at]));
        Self { held: Axes::from_slice(held), data }
    }

    /// Makes one cell of those that are `from`, and of all along the axes that `over` marks, in order.
    pub fn fold(&self, over: impl Fn(usize) -> bool, from: Cell, into: impl Fn(Cell, Cell) -> Cell) -> Self {
        let held: Axes = self.held.iter().enumerate().map(|(axis, &n)| if over(axis) { 1 } else { n }).collect();
        let mut out = Self { data: vec![from; held.iter().product()], held };
        let steps = out.steps();
        walk(&self.held, [&self.steps(), &steps], |[at, to]| out.data[to] = into(out.data[to], self.data[at]));
        out
    }

    /// Holds one cell for all along each axis where they are alike.
    pub fn packed(mut self) -> Self {
        for axis in 0..self.held.len() {
            let (n, inner) = (self.held[axis], self.held[axis + 1..].iter().product::<usize>());
            if n == 1 {
                continue;
            }
            let alike = |block: &[Cell]| block[inner..].iter().zip(block).all(|(a, b)| a == b);
            if self.data.chunks_exact(n * inner).all(alike) {
                self.data =
                    self.data.chunks_exact(n * inner).flat_map(|block| block[..inner].iter().copied()).collect();
                self.held[axis] = 1;
            }
        }
        self
    }
}

/// Visits each place of an array of these sizes, in order, with the place in other arrays by their steps.
pub fn walk<const N: usize>(sizes: &[usize], steps: [&[usize]; N], mut visit: impl FnMut([usize; N])) {
    let mut index: Axes = smallvec![0; sizes.len()];
    let mut at = [0; N];
    for _ in 0..sizes.iter().product::<usize>() {
        visit(at);
        for axis in (0..sizes.len()).rev() {
            index[axis] += 1;
            let ends = index[axis] == sizes[axis];
            for (at, steps) in at.iter_mut().zip(steps) {
                *at += steps[axis];
                if ends {
                    *at -= steps[axis] * sizes[axis];
                }
            }
            if !ends {
                break;
            }
            index[axis] = 0;
        }
    }
}
