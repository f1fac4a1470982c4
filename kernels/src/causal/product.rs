//! Products and attention.

use super::call::{Call, both};
use super::cell::Cell;
use super::cells::{Axes, Cells, Traced, walk};
use super::reduce::{forget_values, positive_zeros};
use super::trace::{Need, Stop, Trace};
use crate::op::Attention;
use smallvec::{SmallVec, smallvec};

/// A factor: leading axes, then the two of its matrices.
struct Factor {
    cells: Cells,
    steps: Axes,
    /// The axes of result and sum.
    outer: usize,
    inner: usize,
}

impl Factor {
    fn new(cells: Cells, transposed: bool) -> Self {
        let rank = cells.held.len();
        let (outer, inner) = if transposed { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
        Self { steps: cells.steps(), cells, outer, inner }
    }

    fn held(&self) -> [usize; 2] {
        [self.cells.held[self.outer], self.cells.held[self.inner]]
    }

    fn steps(&self) -> [usize; 2] {
        [self.steps[self.outer], self.steps[self.inner]]
    }

    /// The same, as the one element of each sum that has all tokens of the sum.
    fn summed(&self) -> Self {
        let inner = self.inner;
        let cells = self.cells.fold(|axis| axis == inner, Cell::ZERO, Cell::plus);
        Self { steps: cells.steps(), cells, ..*self }
    }
}

impl Call<'_> {
    /// A product over the last two axes. A term with a known zero adds nothing where its other factor is finite.
    pub fn product(&self, trace: &mut Trace, transpose_a: bool, transpose_b: bool) -> Result<Traced, Stop> {
        let [a, b] = [0, 1].map(|i| positive_zeros(self.inputs[i]));
        let (mut a, mut b) = (Factor::new(a, transpose_a), Factor::new(b, !transpose_b));
        let rank = self.outputs[0].shape.rank();
        let mut held: Axes = smallvec![1; rank];
        for factor in [&a, &b] {
            let lead = factor.cells.held.len() - 2;
            held.iter_mut().zip(&factor.cells.held[..lead]).for_each(|(held, &n)| *held = (*held).max(n));
        }
        (held[rank - 2], held[rank - 1]) = (a.held()[0], b.held()[0]);
        if !Trace::holds(&held) {
            return trace.coarse(self.inputs, &self.outputs[0]);
        }
        let zeros = [0, 1].map(|i| self.inputs[i].has_zero());
        for (operand, other) in [(0, 1), (1, 0)] {
            if zeros[operand] {
                self.need(trace, other, Need::Finite);
            }
        }
        let sums = |a: &Factor, b: &Factor| a.held()[1].max(b.held()[1]);
        // Free weights of places may be a stored mask.
        let free = |i: usize| self.inputs[i].cells.data.contains(&Cell::Free);
        let hides = [free(0) && b.held()[1] > 1, free(1) && a.held()[1] > 1];
        let times = |a: Cell, b: Cell| match (a, b) {
            (Cell::ZERO, _) | (_, Cell::ZERO) => Cell::ZERO,
            (Cell::Free, b) if hides[0] => b.unsure(),
            (a, Cell::Free) if hides[1] => a.unsure(),
            (a, b) => a.times(b),
        };
        let cells: usize = held.iter().product();
        if zeros == [false; 2] || cells.saturating_mul(sums(&a, &b)) as u64 > super::trace::MAX_WORK / 8 {
            trace.visit(a.cells.data.len() + b.cells.data.len())?;
            (a, b) = (a.summed(), b.summed());
        }
        let terms = sums(&a, &b);
        trace.visit(cells * terms)?;
        let lead = |factor: &Factor, ends: [usize; 2]| -> Axes {
            let lead = factor.cells.held.len() - 2;
            let missing = rank - 2 - lead;
            std::iter::repeat_n(0, missing).chain(factor.steps[..lead].iter().copied()).chain(ends).collect()
        };
        let ([a_row, a_term], [b_column, b_term]) = (a.steps(), b.steps());
        let steps = [lead(&a, [a_row, 0]), lead(&b, [0, b_column])];
        let mut data = Vec::with_capacity(cells);
        walk(&held, [&steps[0], &steps[1]], |[at_a, at_b]| {
            let term = |i: usize| times(a.cells.data[at_a + i * a_term], b.cells.data[at_b + i * b_term]);
            data.push((0..terms).fold(Cell::ZERO, |sum, i| sum.plus(term(i))));
        });
        let mut cells = Cells { held, data };
        forget_values(&mut cells);
        Ok(self.result(0, cells))
    }

    /// Attention: each position is made of its query, and of the keys and values that it sees.
    pub fn attention(&self, trace: &mut Trace, how: Attention) -> Result<SmallVec<[Traced; 3]>, Stop> {
        let spec = &self.outputs[0];
        let (time, heads) = (spec.shape.dims()[1] as usize, spec.shape.dims()[2] as usize);
        for input in self.inputs {
            trace.visit(input.cells.data.len())?;
        }
        // A hidden value has the weight 0 within a block.
        if (how.causal || how.window > 0) && self.inputs.iter().any(|input| input.reads()) {
            self.need(trace, 2, Need::Finite);
        }
        let narrow = |i: usize| {
            let cells = self.inputs[i].cells.fold(|axis| axis == 3, Cell::Free, Cell::with);
            let groups = self.inputs[i].sizes()[2];
            by_head(cells, groups, heads)
        };
        let (query, key, value) = (narrow(0), narrow(1), narrow(2));
        let pairs = both(trace, &key, &value)?;
        let seen = seen(trace, &pairs, time, how)?;
        let mut cells = both(trace, &query, &seen)?;
        let y = self.result(0, cells.clone());
        // [batch, time, heads, 1] → [batch, heads, time]
        let steps = cells.steps();
        let held: Axes = smallvec![cells.held[0], cells.held[2], cells.held[1]];
        let mut data = Vec::with_capacity(cells.data.len());
        walk(&held, [&[steps[0], steps[2], steps[1]]], |[at]| data.push(cells.data[at]));
        cells = Cells { held, data };
        Ok(smallvec![y, self.result(1, cells)])
    }
}

/// Key heads repeated for the query heads that they serve.
fn by_head(cells: Cells, groups: usize, heads: usize) -> Cells {
    if cells.held[2] == 1 || groups == heads {
        return cells;
    }
    let mut held = cells.held.clone();
    held[2] = heads;
    let steps = cells.steps();
    let mut data = Vec::with_capacity(held.iter().product());
    for batch in 0..held[0] {
        for position in 0..held[1] {
            for head in 0..heads {
                let group = head / (heads / groups);
                data.push(cells.data[batch * steps[0] + position * steps[1] + group * steps[2]]);
            }
        }
    }
    Cells { held, data }
}

/// What each position sees of [batch, time, heads, 1].
fn seen(trace: &mut Trace, pairs: &Cells, time: usize, how: Attention) -> Result<Cells, Stop> {
    if pairs.held[1] == 1 {
        return Ok(pairs.clone());
    }
    let (window, causal) = (how.window as usize, how.causal);
    if window == 0 && !causal {
        return Ok(pairs.fold(|axis| axis == 1, Cell::Free, Cell::with));
    }
    let inner = pairs.held[2];
    let span = if window == 0 { 1 } else { window.min(time) * (2 - usize::from(causal)) };
    trace.visit(pairs.data.len().saturating_mul(span))?;
    let mut data = Vec::with_capacity(pairs.data.len());
    for batch in pairs.data.chunks_exact(time * inner) {
        for position in 0..time {
            let first = if window == 0 { position } else { (position + 1).saturating_sub(window) };
            let end = if causal { position + 1 } else { time.min(position + window) };
            for head in 0..inner {
                let seen = (first..end).fold(Cell::Free, |all, j| all.with(batch[j * inner + head]));
                // Without a window, what the position before saw is seen too.
                let before = (window == 0 && position > 0).then(|| data[data.len() - inner]);
                data.push(before.map_or(seen, |before: Cell| before.with(seen)));
            }
        }
    }
    Ok(Cells { held: pairs.held.clone(), data })
}
