//! Ops along axes: reductions, running sums, softmax and norms.

use super::call::Call;
use super::cell::Cell;
use super::cells::{Axes, Cells, Traced, sizes};
use super::trace::{Stop, Trace};
use crate::spec::DType;

impl Call<'_> {
    /// A reduction of the first operand over `axes`, of which known zeros are no part where it is a `sum`.
    pub fn reduced(&self, trace: &mut Trace, axes: &[u32], sum: bool) -> Result<Traced, Stop> {
        let x = self.inputs[0];
        trace.visit(x.cells.data.len())?;
        let over = |axis: usize| axes.contains(&(axis as u32));
        let cells = if sum { summed(x, over) } else { x.cells.fold(over, Cell::Free, Cell::with) };
        Ok(self.result(0, kept(cells, &sizes(&self.outputs[0]), over)))
    }

    /// Sums what broadcasting from the result's shape repeated.
    pub fn sum_to(&self, trace: &mut Trace) -> Result<Traced, Stop> {
        let (from, to) = (self.inputs[0].sizes(), sizes(&self.outputs[0]));
        let added = from.len() - to.len();
        let axes: Vec<u32> = (0..from.len())
            .filter(|&axis| axis < added || to[axis - added] == 1 && from[axis] > 1)
            .map(|axis| axis as u32)
            .collect();
        trace.visit(self.inputs[0].cells.data.len())?;
        let Cells { held, data } = summed(self.inputs[0], |axis| axes.contains(&(axis as u32)));
        Ok(self.result(0, Cells { held: held[added..].into(), data }))
    }

    /// Sums of what comes before along an axis.
    pub fn running_sum(&self, trace: &mut Trace, axis: u32, reverse: bool) -> Result<Traced, Stop> {
        let (mut cells, axis) = (positive_zeros(self.inputs[0]), axis as usize);
        trace.visit(cells.data.len())?;
        let (n, inner) = (cells.held[axis], cells.held[axis + 1..].iter().product::<usize>());
        for block in cells.data.chunks_exact_mut(n * inner) {
            for step in 1..n {
                let (to, from) = if reverse { (n - 1 - step, n - step) } else { (step, step - 1) };
                for i in 0..inner {
                    block[to * inner + i] = block[to * inner + i].plus(block[from * inner + i]);
                }
            }
        }
        forget_values(&mut cells);
        Ok(Traced { placed: true, ..self.result(0, cells) })
    }

    /// Rows along the last axis, of which each element may be made of the whole row of each operand.
    pub fn rows(&self, trace: &mut Trace) -> Result<Traced, Stop> {
        let last = self.inputs[0].cells.held.len() - 1;
        let cells = self.all_along(trace, |axis| axis == last)?;
        Ok(self.result(0, cells))
    }

    /// Softmax: of −∞ it is 0, if the row has something above.
    pub fn softmax(&self, trace: &mut Trace) -> Result<Traced, Stop> {
        let x = self.inputs[0];
        let rows = self.rows(trace)?;
        let low = |cell: Cell| cell.f32(DType::F32) == Some(f32::NEG_INFINITY);
        if !x.cells.data.iter().any(|&cell| low(cell)) {
            return Ok(rows);
        }
        self.need_finite_result(trace);
        trace.visit(x.cells.data.len())?;
        let made = rows.cells.filled(&x.cells.held).data.into_iter().zip(&x.cells.data);
        let data = made.map(|(made, &x)| if low(x) { Cell::ZERO } else { made }).collect();
        Ok(self.result(0, Cells { held: x.cells.held.clone(), data }))
    }
}

/// The cells, each known zero as [`Cell::ZERO`].
pub fn positive_zeros(x: &Traced) -> Cells {
    let zero = |&cell: &Cell| if cell.is_zero(x.spec.dtype) { Cell::ZERO } else { cell };
    Cells { held: x.cells.held.clone(), data: x.cells.data.iter().map(zero).collect() }
}

/// Sums along axes, of which known zeros are no part.
fn summed(x: &Traced, over: impl Fn(usize) -> bool) -> Cells {
    let mut cells = positive_zeros(x).fold(over, Cell::ZERO, Cell::plus);
    forget_values(&mut cells);
    cells
}

/// Of sums, only those of zeros are still known: a cell may stand for any number of equal ones, and for its product
/// with any factor.
pub fn forget_values(cells: &mut Cells) {
    cells.data.iter_mut().filter(|cell| cell.is_known() && **cell != Cell::ZERO).for_each(|cell| *cell = Cell::Free);
}

/// The cells without those axes that the result of a reduction does not have.
pub fn kept(cells: Cells, sizes: &[usize], over: impl Fn(usize) -> bool) -> Cells {
    if cells.held.len() == sizes.len() {
        return cells;
    }
    let held: Axes = cells.held.iter().enumerate().filter(|(axis, _)| !over(*axis)).map(|(_, &n)| n).collect();
    Cells { held, data: cells.data }
}
