//! One op with its operands, as the rules see it.

use super::cell::Cell;
use super::cells::{Axes, Cells, Traced};
use super::trace::{Need, Stop, Trace};
use crate::op::{Op, TensorId};
use crate::spec::Spec;

/// One op on traced operands.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub op: &'a Op,
    pub inputs: &'a [&'a Traced],
    /// Names of the operands.
    pub ids: &'a [TensorId],
    /// What it makes.
    pub outputs: &'a [Spec],
    /// Names of what it makes.
    pub made: &'a [TensorId],
}

impl Call<'_> {
    /// A result with these cells.
    pub fn result(&self, place: usize, cells: Cells) -> Traced {
        Trace::made(self.inputs, &self.outputs[place], cells)
    }

    /// Takes something for granted of an operand.
    pub fn need(&self, trace: &mut Trace, operand: usize, need: Need) {
        trace.need(self.ids[operand], need);
    }

    /// Takes for granted that the first result is finite.
    pub fn need_finite_result(&self, trace: &mut Trace) {
        trace.need(self.made[0], Need::Finite);
    }

    /// The first result, of which each element is made of all elements of the operands in its place, and of all along
    /// the axes that `over` marks. Operands and result have one shape, but for those axes.
    pub fn all_along(&self, trace: &mut Trace, over: impl Fn(usize) -> bool) -> Result<Cells, Stop> {
        let mut cells: Option<Cells> = None;
        for input in self.inputs {
            trace.visit(input.cells.data.len())?;
            let folded = input.cells.fold(&over, Cell::Free, Cell::with);
            cells = Some(match cells {
                None => folded,
                Some(cells) => both(trace, &cells, &folded)?,
            });
        }
        Ok(cells.unwrap_or_else(|| Cells::uniform(self.outputs[0].shape.rank(), Cell::Free)))
    }
}

/// Any function of the cells in the same place of two arrays of one shape.
pub fn both(trace: &mut Trace, a: &Cells, b: &Cells) -> Result<Cells, Stop> {
    let held: Axes = a.held.iter().zip(&b.held).map(|(&a, &b)| a.max(b)).collect();
    trace.visit(held.iter().product())?;
    let (a, b) = (a.filled(&held), b.filled(&held));
    Ok(Cells { held, data: a.data.iter().zip(&b.data).map(|(a, b)| a.with(*b)).collect() })
}
