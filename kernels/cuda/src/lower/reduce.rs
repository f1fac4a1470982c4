//! Folds over axes, running sums and order: `reduce.cu`.

use super::builder::{Builder, arguments, elements, rows};
use super::walk::around;
use crate::plan::{BLOCK, Buffer, Place};
use kernels::fault::Fault;
use kernels::spec::DType;

/// Elements that a warp folds at a time: `CHUNK` of `reduce.cu`.
const CHUNK: u32 = 1024;
/// Elements that a thread folds at a time: `COLUMN` of `reduce.cu`.
const COLUMN: u32 = 64;
/// Elements of a run of a running sum: `RUN` of `reduce.cu`.
const RUN: u32 = 256;

/// How elements are put together: `Fold` of `common.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    Sum = 0,
    Max = 1,
    Min = 2,
    Squares = 3,
}

impl Builder<'_> {
    /// Folds the axes of x that `reduced` names into y, and divides. Groups of adjacent axes go one after another, the
    /// last one first, each in passes that leave one element of a chunk.
    pub fn fold(
        &mut self,
        how: Fold,
        (x, dims): (Place, &[u32]),
        y: Place,
        divisor: f32,
        reduced: impl Fn(usize) -> bool,
    ) {
        let mut groups: Vec<(u32, bool)> = Vec::new();
        for (axis, &size) in dims.iter().enumerate().filter(|(_, size)| **size > 1) {
            match groups.last_mut() {
                Some((n, reduce)) if *reduce == reduced(axis) => *n *= size,
                _ => groups.push((size, reduced(axis))),
            }
        }
        if groups.iter().all(|(_, reduce)| !reduce) {
            if how != Fold::Squares {
                let count: u32 = dims.iter().product();
                return self.copy(x, y, 4 * u64::from(count));
            }
            // Of each element alone.
            groups.push((1, true));
        }
        let (mut from, mut how, mut inner) = (x, how, 1);
        while let Some((mut n, reduce)) = groups.pop() {
            if !reduce {
                inner *= n;
                continue;
            }
            let outer: u32 = groups.iter().map(|(size, _)| size).product();
            let is_last = groups.iter().all(|(_, reduce)| !reduce);
            loop {
                let chunks = n.div_ceil(if inner == 1 { CHUNK } else { COLUMN });
                let ends = is_last && chunks == 1;
                let made = outer * chunks * inner;
                let to = if ends { y } else { self.scratch(u64::from(made)).into() };
                let divisor = if ends { divisor } else { 1.0 };
                if inner == 1 {
                    let arguments = arguments![how as u32, from, to, outer, n, chunks, divisor];
                    self.launch("fold_rows", rows(made), arguments);
                } else {
                    let arguments = arguments![how as u32, from, to, outer, n, inner, chunks, divisor];
                    self.launch("fold_columns", elements(made), arguments);
                }
                if how == Fold::Squares {
                    how = Fold::Sum;
                }
                (from, n) = (to, chunks);
                if n == 1 {
                    break;
                }
            }
        }
    }

    /// Folds the first operand into the first result.
    pub fn fold_axes(&mut self, how: Fold, divisor: f32, reduced: impl Fn(usize) -> bool) -> Result<(), Fault> {
        let dims = self.input(0)?.shape.clone();
        self.fold(how, (Buffer::Input(0).into(), dims.dims()), Buffer::Output(0).into(), divisor, reduced);
        Ok(())
    }

    pub fn cumsum(&mut self, axis: u32, reverse: bool) -> Result<(), Fault> {
        let [outer, n, inner] = around(self.input(0)?.shape.dims(), axis as usize)?;
        let runs = n.div_ceil(RUN);
        let count = outer * runs * inner;
        let sums = self.scratch(u64::from(count));
        let (x, y, reverse) = (Buffer::Input(0), Buffer::Output(0), u32::from(reverse));
        self.launch("cumsum_runs", elements(count), arguments![x, sums, outer, n, inner, runs, reverse]);
        self.launch("cumsum_before", elements(outer * inner), arguments![sums, outer, inner, runs]);
        self.launch("cumsum", elements(count), arguments![x, sums, y, outer, n, inner, runs, reverse]);
        Ok(())
    }

    pub fn argmax(&mut self, axis: u32) -> Result<(), Fault> {
        let [outer, n, inner] = around(self.input(0)?.shape.dims(), axis as usize)?;
        let kernel = self.ordered("argmax")?;
        let arguments = arguments![Buffer::Input(0), Buffer::Output(0), outer, n, inner];
        self.launch(kernel, elements(outer * inner), arguments);
        Ok(())
    }

    pub fn argsort(&mut self, descending: bool) -> Result<(), Fault> {
        let [count, n] = self.rows(0)?;
        let padded = n.next_power_of_two();
        let total = u64::from(count) * u64::from(padded);
        let grid = [total.div_ceil(u64::from(BLOCK)) as u32, 1, 1];
        let (ranks, at) = (self.scratch_bytes(8 * total), self.scratch(total));
        let kernel = self.ordered("sort_start")?;
        let descending = u32::from(descending);
        self.launch(kernel, grid, arguments![Buffer::Input(0), ranks, at, total, n, padded, descending]);
        let powers = |most: u32| (1..=most.ilog2()).map(|power| 1u32 << power);
        for run in powers(padded) {
            for apart in powers(run).rev().map(|apart| apart / 2) {
                self.launch("sort_stage", grid, arguments![ranks, at, total, padded, run, apart]);
            }
        }
        let total = count * n;
        self.launch("sort_end", elements(total), arguments![at, Buffer::Output(0), total, n, padded]);
        Ok(())
    }

    /// The kernel for elements that have an order.
    fn ordered(&self, family: &str) -> Result<String, Fault> {
        self.of_dtype(family, self.input(0)?.dtype, &[DType::F32, DType::I64, DType::U32, DType::U8])
    }
}
