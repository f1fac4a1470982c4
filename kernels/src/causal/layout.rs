//! Ops that move elements: each cell of the result is one of the operands', or a zero.

use super::call::Call;
use super::cell::Cell;
use super::cells::{Axes, Cells, Traced, sizes, walk};
use super::trace::{Stop, Trace};
use smallvec::smallvec;

/// One cell, with neighbours at the steps of an array.
struct Moved<'a> {
    from: &'a Cells,
    steps: Axes,
    start: usize,
}

impl Moved<'_> {
    fn read(&self, trace: &mut Trace, held: Axes) -> Result<Cells, Stop> {
        trace.visit(held.iter().product())?;
        let mut data = Vec::with_capacity(held.iter().product());
        walk(&held, [&self.steps], |[at]| data.push(self.from.data[self.start + at]));
        Ok(Cells { held, data })
    }
}

impl Call<'_> {
    /// Output axis i is input axis `axes[i]`.
    pub fn permute(&self, trace: &mut Trace, axes: &[u32]) -> Result<Traced, Stop> {
        let from = &self.inputs[0].cells;
        let steps = from.steps();
        let held = axes.iter().map(|&axis| from.held[axis as usize]).collect();
        let steps = axes.iter().map(|&axis| steps[axis as usize]).collect();
        Ok(self.result(0, Moved { from, steps, start: 0 }.read(trace, held)?))
    }

    /// A part of an axis.
    pub fn narrow(&self, trace: &mut Trace, axis: u32, start: u32, len: u32) -> Result<Traced, Stop> {
        let (from, axis) = (&self.inputs[0].cells, axis as usize);
        if from.held[axis] == 1 {
            return Ok(self.result(0, from.clone()));
        }
        let steps = from.steps();
        let mut held = from.held.clone();
        held[axis] = len as usize;
        let start = start as usize * steps[axis];
        Ok(self.result(0, Moved { from, steps, start }.read(trace, held)?))
    }

    /// Repeats axes of size 1, and adds leading ones.
    pub fn expand(&self) -> Traced {
        let from = &self.inputs[0].cells;
        let added = self.outputs[0].shape.rank() - from.held.len();
        let held = std::iter::repeat_n(1, added).chain(from.held.iter().copied()).collect();
        self.result(0, Cells { held, data: from.data.clone() })
    }

    /// Zeros before and after along an axis.
    pub fn pad(&self, trace: &mut Trace, axis: u32, before: u32, after: u32) -> Result<Traced, Stop> {
        let axis = axis as usize;
        let x = self.inputs[0];
        let zeros = Cells::uniform(x.cells.held.len(), Cell::ZERO);
        let parts = [(before as usize, &zeros), (x.sizes()[axis], &x.cells), (after as usize, &zeros)];
        let parts: Vec<(usize, Cells)> =
            parts.into_iter().filter(|(size, _)| *size > 0).map(|(size, cells)| (size, cells.clone())).collect();
        self.joined(trace, axis, &parts)
    }

    /// The operands one after another along an axis.
    pub fn cat(&self, trace: &mut Trace, axis: u32) -> Result<Traced, Stop> {
        let axis = axis as usize;
        let parts: Vec<(usize, Cells)> =
            self.inputs.iter().map(|input| (input.sizes()[axis], input.cells.clone())).collect();
        self.joined(trace, axis, &parts)
    }

    fn joined(&self, trace: &mut Trace, axis: usize, parts: &[(usize, Cells)]) -> Result<Traced, Stop> {
        let spec = &self.outputs[0];
        let mut held: Axes = smallvec![1; spec.shape.rank()];
        for (_, cells) in parts {
            held.iter_mut().zip(&cells.held).for_each(|(held, &n)| *held = (*held).max(n));
        }
        held[axis] = sizes(spec)[axis];
        if !Trace::holds(&held) {
            return trace.coarse(self.inputs, spec);
        }
        trace.visit(held.iter().product())?;
        let inner: usize = held[axis + 1..].iter().product();
        let outer: usize = held[..axis].iter().product();
        let mut data = Vec::with_capacity(held.iter().product());
        let filled: Vec<(usize, Cells)> = parts
            .iter()
            .map(|(size, cells)| {
                let mut part = held.clone();
                part[axis] = *size;
                (size * inner, cells.filled(&part))
            })
            .collect();
        for block in 0..outer {
            for (length, cells) in &filled {
                data.extend_from_slice(&cells.data[block * length..(block + 1) * length]);
            }
        }
        Ok(self.result(0, Cells { held, data }.packed()))
    }

    /// The same elements in another shape. Axes that are split or merged are held whole, unless all of them are alike.
    pub fn reshape(&self, trace: &mut Trace) -> Result<Traced, Stop> {
        let (x, spec) = (self.inputs[0], &self.outputs[0]);
        let (from, to) = (x.sizes(), sizes(spec));
        let mut filled: Axes = x.cells.held.clone();
        let mut held: Axes = smallvec![1; to.len()];
        for (old, new) in groups(&from, &to) {
            if filled[old.clone()].iter().all(|&n| n == 1) {
                continue;
            }
            filled[old.clone()].copy_from_slice(&from[old]);
            held[new.clone()].copy_from_slice(&to[new]);
        }
        if !Trace::holds(&held) {
            return trace.coarse(self.inputs, spec);
        }
        trace.visit(held.iter().product())?;
        let cells = Cells { held, data: x.cells.filled(&filled).data };
        Ok(self.result(0, if filled == x.cells.held { cells } else { cells.packed() }))
    }
}

/// The smallest groups of neighbouring axes that hold the same elements in both shapes.
fn groups(from: &[usize], to: &[usize]) -> Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (start_i, start_j) = (i, j);
        let (mut a, mut b) = (1, 1);
        while i == start_i && j == start_j || a != b {
            let more_old = i < from.len() && (a <= b || j == to.len());
            if more_old {
                a *= from[i];
                i += 1;
            } else if j < to.len() {
                b *= to[j];
                j += 1;
            } else {
                break;
            }
        }
        groups.push((start_i..i, start_j..j));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn axes_are_grouped_as_finely_as_they_can_be() {
        assert_eq!(groups(&[2, 3, 8], &[2, 3, 2, 4]), [(0..1, 0..1), (1..2, 1..2), (2..3, 2..4)]);
        assert_eq!(groups(&[2, 3, 8], &[6, 8]), [(0..2, 0..1), (2..3, 1..2)]);
        assert_eq!(groups(&[6, 4], &[4, 6]), [(0..2, 0..2)]);
        assert_eq!(groups(&[5], &[1, 5, 1]), [(0..1, 0..2), (1..1, 2..3)]);
        assert_eq!(groups(&[1, 5], &[5]), [(0..1, 0..0), (1..2, 0..1)]);
        assert_eq!(groups(&[1], &[]), [(0..1, 0..0)]);
        assert!(groups(&[], &[]).is_empty());
    }
}
