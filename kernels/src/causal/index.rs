//! Ops that pick by index. A known index reads one place; an unknown one could read all.

use super::call::{Call, both};
use super::cell::Cell;
use super::cells::{Axes, Cells, Traced, walk};
use super::reduce::positive_zeros;
use super::trace::{Stop, Trace};

impl Call<'_> {
    /// Rows of a table [n, d] by indices.
    pub fn embedding(&self, trace: &mut Trace) -> Result<Traced, Stop> {
        let (table, indices) = (self.inputs[0], self.inputs[1]);
        let (rows, width) = (table.sizes()[0], table.cells.held[1]);
        let mut held: Axes = indices.cells.held.clone();
        held.push(width);
        if !Trace::holds(&held) {
            return trace.coarse(self.inputs, &self.outputs[0]);
        }
        trace.visit(held.iter().product::<usize>() + table.cells.data.len())?;
        let any = self.any_place(table, 0, indices);
        let step = table.cells.steps()[0];
        let mut data = Vec::with_capacity(held.iter().product());
        for &index in &indices.cells.data {
            for column in 0..width {
                data.push(match index {
                    Cell::Known(row) if row < rows as u64 => table.cells.data[row as usize * step + column],
                    Cell::Known(_) => Cell::ANYTHING,
                    index => index.with(any.data[column]),
                });
            }
        }
        Ok(self.result(0, Cells { held, data }))
    }

    /// Elements by their index along an axis.
    pub fn gather(&self, trace: &mut Trace, axis: u32) -> Result<Traced, Stop> {
        let (x, indices, axis) = (self.inputs[0], self.inputs[1], axis as usize);
        let mut held: Axes = x.cells.held.iter().zip(&indices.cells.held).map(|(&x, &index)| x.max(index)).collect();
        held[axis] = indices.cells.held[axis];
        if !Trace::holds(&held) {
            return trace.coarse(self.inputs, &self.outputs[0]);
        }
        trace.visit(held.iter().product::<usize>() + x.cells.data.len())?;
        let any = self.any_place(x, axis, indices);
        let mut steps = x.cells.steps();
        let step = std::mem::replace(&mut steps[axis], 0);
        let places = x.sizes()[axis] as u64;
        let mut data = Vec::with_capacity(held.iter().product());
        walk(&held, [&steps, &indices.cells.steps(), &any.steps()], |[at, index, all]| {
            data.push(match indices.cells.data[index] {
                Cell::Known(place) if place < places => x.cells.data[at + place as usize * step],
                Cell::Known(_) => Cell::ANYTHING,
                index => index.with(any.data[all]),
            });
        });
        Ok(self.result(0, Cells { held, data }))
    }

    /// Values added at their index along an axis.
    pub fn scatter_add(&self, trace: &mut Trace, axis: u32) -> Result<Traced, Stop> {
        let (x, indices, values, axis) = (self.inputs[0], self.inputs[1], self.inputs[2], axis as usize);
        let along = |other: usize| other == axis;
        if indices.is_known() {
            return self.scatter_known(trace, axis);
        }
        for input in self.inputs {
            trace.visit(input.cells.data.len())?;
        }
        let folded = |input: &Traced| input.cells.fold(along, Cell::Free, Cell::with);
        let mut added = both(trace, &folded(indices), &folded(values))?;
        if indices.placed {
            // Where it is added may depend on where it is: perhaps only later.
            added.data.iter_mut().for_each(|cell| *cell = cell.unsure());
        }
        let cells = both(trace, &x.cells, &added)?;
        Ok(self.result(0, cells))
    }

    fn scatter_known(&self, trace: &mut Trace, axis: usize) -> Result<Traced, Stop> {
        let (x, indices, values) = (self.inputs[0], self.inputs[1], self.inputs[2]);
        let mut held: Axes = x.cells.held.clone();
        for input in [indices, values] {
            held.iter_mut().zip(&input.cells.held).for_each(|(held, &n)| *held = (*held).max(n));
        }
        let mut from = held.clone();
        (held[axis], from[axis]) = (x.sizes()[axis], indices.sizes()[axis]);
        if !Trace::holds(&held) || !Trace::holds(&from) {
            return trace.coarse(self.inputs, &self.outputs[0]);
        }
        trace.visit(held.iter().product::<usize>() + from.iter().product::<usize>())?;
        let mut out = positive_zeros(x).filled(&held);
        let added = positive_zeros(values);
        let mut steps = out.steps();
        let step = std::mem::replace(&mut steps[axis], 0);
        walk(&from, [&steps, &indices.cells.steps(), &added.steps()], |[at, index, value]| {
            if let Cell::Known(place) = indices.cells.data[index] {
                // One beyond the axis is a fault.
                let place = (place as usize).min(held[axis] - 1);
                let to = &mut out.data[at + place * step];
                *to = to.plus(added.data[value]);
            }
        });
        Ok(self.result(0, out.packed()))
    }

    /// What an index could read of a tensor along an axis. It is sure to depend on all of it if the index is made of
    /// tokens alone: for some text it points anywhere.
    fn any_place(&self, x: &Traced, axis: usize, indices: &Traced) -> Cells {
        let mut any = x.cells.fold(|other| other == axis, Cell::Free, Cell::with);
        if indices.placed {
            any.data.iter_mut().for_each(|cell| *cell = cell.unsure());
        }
        any
    }
}
