//! Shapes of moves, broadcasts and reductions.

use super::call::{Call, Specs};
use crate::fault::Fault;
use crate::op::Op;
use crate::spec::{Shape, listed};
use smallvec::{SmallVec, smallvec};

/// NumPy's broadcasting of two shapes; `None` if two sizes differ and neither is 1.
pub fn broadcast(a: &Shape, b: &Shape) -> Option<SmallVec<[u32; 6]>> {
    let rank = a.rank().max(b.rank());
    let size = |s: &Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |axis| s.dims()[axis]);
    (0..rank)
        .map(|i| match (size(a, i), size(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

impl Call<'_> {
    /// The shape that the operands' shapes broadcast to.
    pub fn wide(&self) -> Result<Shape, Fault> {
        let reason = "the shapes do not broadcast: aligned from the last axis, two sizes differ and neither is 1";
        let (first, rest) = self.inputs.split_first().ok_or_else(|| self.misuse("no operands"))?;
        rest.iter().try_fold(first.shape.clone(), |wide, spec| {
            self.size(&broadcast(&wide, &spec.shape).ok_or_else(|| self.shape_fault(reason))?)
        })
    }

    /// All operands have one shape: that one.
    pub fn same(&self) -> Result<Specs, Fault> {
        if self.inputs.iter().all(|s| s.shape == self.inputs[0].shape) {
            return Ok(smallvec![self.inputs[0].clone()]);
        }
        let mut reason = "the shapes must be equal".to_owned();
        if matches!(self.op, Op::Assign | Op::Blend { .. }) {
            reason.push_str("; expand or reshape the value first");
        }
        Err(self.shape_fault(reason))
    }

    pub fn reshaped(&self, shape: &Shape) -> Result<Shape, Fault> {
        let (have, want) = (self.inputs[0].shape.elements(), shape.elements());
        if have == want {
            return Ok(shape.clone());
        }
        Err(self.shape_fault(format!("{have} elements do not fill {shape}, which has {want}")))
    }

    pub fn permuted(&self, axes: &SmallVec<[u32; 4]>) -> Result<Shape, Fault> {
        let from = &self.inputs[0].shape;
        let mut sorted = axes.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..from.rank() as u32) {
            let reason = format!("axes {} must name each of the {} axes once", listed(axes), from.rank());
            return Err(self.shape_fault(reason));
        }
        let dims: SmallVec<[u32; 6]> = axes.iter().map(|&axis| from.dims()[axis as usize]).collect();
        self.size(&dims)
    }

    /// The first operand's shape with another size of one axis.
    fn resized(&self, axis: usize, size: u32) -> Result<Shape, Fault> {
        let mut dims: SmallVec<[u32; 6]> = SmallVec::from_slice(self.inputs[0].shape.dims());
        dims[axis] = size;
        self.size(&dims)
    }

    pub fn narrowed(&self, axis: u32, start: u32, len: u32) -> Result<Shape, Fault> {
        let index = self.axis(axis)?;
        let size = self.inputs[0].shape.dims()[index];
        if start.checked_add(len).is_none_or(|end| end > size) {
            let reason = format!("{len} from {start} does not lie within axis {axis} of size {size}");
            return Err(self.shape_fault(reason));
        }
        self.resized(index, len)
    }

    pub fn padded(&self, axis: u32, before: u32, after: u32) -> Result<Shape, Fault> {
        let index = self.axis(axis)?;
        let size = self.inputs[0].shape.dims()[index];
        let padded = size.checked_add(before).and_then(|n| n.checked_add(after)).ok_or_else(|| {
            let most = u32::MAX;
            self.shape_fault(format!(
                "axis {axis} of size {size} with {before} before and {after} after is longer than {most}"
            ))
        })?;
        self.resized(index, padded)
    }

    pub fn joined(&self, axis: u32) -> Result<Shape, Fault> {
        let index = self.axis(axis)?;
        self.resized(index, self.joined_size(index)?)
    }

    /// Size of the joined axis.
    fn joined_size(&self, axis: usize) -> Result<u32, Fault> {
        let first = self.inputs[0].shape.dims();
        let mut total = 0u32;
        for spec in self.inputs {
            let dims = spec.shape.dims();
            let agree =
                dims.len() == first.len() && dims.iter().zip(first).enumerate().all(|(i, (a, b))| i == axis || a == b);
            if !agree {
                return Err(self.shape_fault(format!("sizes may differ along axis {axis} only")));
            }
            total = total
                .checked_add(dims[axis])
                .ok_or_else(|| self.shape_fault(format!("the joined axis {axis} is longer than {}", u32::MAX)))?;
        }
        Ok(total)
    }

    /// Checks that broadcasting `small` gives `large`.
    pub fn repeats(&self, small: &Shape, large: &Shape) -> Result<(), Fault> {
        if broadcast(small, large).is_some_and(|dims| dims.as_slice() == large.dims()) {
            return Ok(());
        }
        Err(self.shape_fault(format!(
            "{small} does not expand to {large}: aligned from the last axis, sizes must be equal or 1 before"
        )))
    }

    pub fn reduced(&self, axes: &[u32], keep: bool) -> Result<Shape, Fault> {
        let from = &self.inputs[0].shape;
        for &axis in axes {
            self.axis(axis)?;
        }
        if !axes.is_sorted_by(|a, b| a < b) {
            return Err(self.misuse(format!("axes {} must rise; each is given once", listed(axes))));
        }
        let dims: SmallVec<[u32; 6]> = (0u32..)
            .zip(from.dims())
            .filter_map(|(axis, &size)| match (axes.contains(&axis), keep) {
                (false, _) => Some(size),
                (true, true) => Some(1),
                (true, false) => None,
            })
            .collect();
        self.size(&dims)
    }
}
