//! Ops whose elements are made of those in the same place of their operands, which broadcast.

use super::call::Call;
use super::cell::Cell;
use super::cells::{Axes, Cells, Traced, walk};
use super::known;
use super::trace::{Need, Stop, Trace};
use crate::op::{Binary, Op, Unary};
use crate::spec::{DType, Shape, Spec};
use smallvec::{SmallVec, smallvec};

/// A number so large that adding it may hide what it is added to: soft masks are −1e4 and below.
const LARGE: f32 = 1e3;
/// A factor so small that it may hide what it multiplies.
const SMALL: f32 = 1e-6;

/// The operands in one place.
struct Place<'a> {
    op: &'a Op,
    cells: [Cell; 3],
    count: usize,
    dtype: DType,
    /// By operand: it differs along an axis along which another differs, so that it could be a mask, if it is free, or
    /// if it is known.
    masks: &'a [Masks; 3],
}

#[derive(Clone, Copy, Default)]
struct Masks {
    free: bool,
    known: bool,
    /// A buffer had a part in it.
    stored: bool,
}

/// What a rule takes for granted, by operand and of the result.
#[derive(Default)]
struct Granted {
    operands: [Option<Need>; 3],
    result: bool,
}

impl Call<'_> {
    /// The result of an elementwise op.
    pub fn elementwise(&self, trace: &mut Trace) -> Result<Traced, Stop> {
        let spec = &self.outputs[0];
        let rank = spec.shape.rank();
        let aligned = |axes: &[usize], fill: usize| -> Axes {
            std::iter::repeat_n(fill, rank - axes.len()).chain(axes.iter().copied()).collect()
        };
        let mut held: Axes = smallvec![1; rank];
        let mut steps: [Axes; 3] = [(); 3].map(|()| smallvec![0; rank]);
        for (input, steps) in self.inputs.iter().zip(&mut steps) {
            *steps = aligned(&input.cells.steps(), 0);
            held.iter_mut().zip(aligned(&input.cells.held, 1)).for_each(|(held, n)| *held = (*held).max(n));
        }
        if !Trace::holds(&held) {
            return trace.coarse(self.inputs, spec);
        }
        trace.visit(held.iter().product())?;
        let masks = self.masks(&aligned);
        let count = self.inputs.len();
        let dtype = self.inputs[count - 1].spec.dtype;
        let mut data = Vec::with_capacity(held.iter().product());
        let mut values: [Vec<u64>; 3] = Default::default();
        let mut known = Vec::new();
        let mut granted = Granted::default();
        walk(&held, [&steps[0], &steps[1], &steps[2]], |at| {
            let mut cells = [Cell::Free; 3];
            for (cell, (input, at)) in cells.iter_mut().zip(self.inputs.iter().zip(at)) {
                *cell = input.cells.data[at];
            }
            let place = Place { op: self.op, cells, count, dtype, masks: &masks };
            if place.can_be_computed() {
                known.push(data.len());
                for (values, cell) in values.iter_mut().zip(&cells[..count]) {
                    values.extend(if let Cell::Known(bits) = cell { Some(*bits) } else { None });
                }
                data.push(Cell::Free);
            } else {
                data.push(place.cell(&mut granted));
            }
        });
        self.compute(trace, &known, values, &mut data)?;
        for (operand, need) in granted.operands.into_iter().enumerate() {
            need.into_iter().for_each(|need| self.need(trace, operand, need));
        }
        if granted.result {
            self.need_finite_result(trace);
        }
        Ok(self.result(0, Cells { held, data }.packed()))
    }

    /// Computes the places whose operands are all known.
    fn compute(
        &self,
        trace: &mut Trace,
        known: &[usize],
        values: [Vec<u64>; 3],
        data: &mut [Cell],
    ) -> Result<(), Stop> {
        if known.is_empty() {
            return Ok(());
        }
        let spec = |dtype| Shape::new(&[known.len() as u32]).map(|shape| Spec { shape, dtype });
        let mut operands = Vec::new();
        for (input, bits) in self.inputs.iter().zip(values) {
            let Ok(spec) = spec(input.spec.dtype) else { return Ok(()) };
            operands.push((spec, known::values(input.spec.dtype, bits.into_iter())));
        }
        let Ok(made) = spec(self.outputs[0].dtype) else { return Ok(()) };
        let computed = trace.execute(self.op, &operands, &[made])?;
        let computed = computed.and_then(|made| made.first().map(known::bits)).unwrap_or_default();
        for (&at, bits) in known.iter().zip(computed) {
            data[at] = Cell::Known(bits);
        }
        Ok(())
    }

    /// Which operands could be masks of the others.
    fn masks(&self, aligned: &dyn Fn(&[usize], usize) -> Axes) -> [Masks; 3] {
        let mut masks = [Masks::default(); 3];
        let held: SmallVec<[Axes; 3]> = self.inputs.iter().map(|input| aligned(&input.cells.held, 1)).collect();
        for (i, input) in self.inputs.iter().enumerate() {
            let sizes = aligned(&input.sizes(), 1);
            let mut others = (0..self.inputs.len()).filter(|&j| j != i);
            let differ = |j: usize, mine: &Axes| mine.iter().zip(&held[j]).any(|(&mine, &other)| mine > 1 && other > 1);
            masks[i] = Masks {
                free: others.clone().any(|j| differ(j, &sizes)),
                known: others.any(|j| differ(j, &held[i])),
                stored: input.stored,
            };
        }
        masks
    }
}

impl Place<'_> {
    fn known(&self, operand: usize) -> Option<f32> {
        self.cells[operand].f32(self.dtype)
    }

    fn zero(&self, operand: usize) -> bool {
        self.cells[operand].is_zero(self.dtype)
    }

    /// Whether all operands are known, and the result does not tell the sign of a zero.
    fn can_be_computed(&self) -> bool {
        self.cells[..self.count].iter().all(|cell| cell.is_known()) && !self.tells_the_sign_of_zero()
    }

    fn tells_the_sign_of_zero(&self) -> bool {
        match self.op {
            Op::Binary(Binary::Div) => self.dtype.is_float() && self.zero(1),
            Op::Binary(Binary::Pow) => self.zero(0) && !self.known(1).is_some_and(|exponent| exponent >= 0.0),
            Op::Unary(Unary::Rsqrt) => self.zero(0),
            _ => false,
        }
    }

    /// The result where not all is known.
    fn cell(&self, granted: &mut Granted) -> Cell {
        if self.tells_the_sign_of_zero() {
            return Cell::ANYTHING;
        }
        match self.op {
            Op::Binary(f) => self.binary(*f, granted),
            Op::Select => self.select(),
            // x · 0 + c
            Op::Affine { mul: 0.0, add } => {
                granted.operands[0] = Some(Need::Finite);
                Cell::Known(u64::from(add.to_bits()))
            }
            // 1/√0 is infinite, with the zero's sign.
            Op::Unary(Unary::Rsqrt) => {
                granted.result = true;
                self.any()
            }
            _ => self.any(),
        }
    }

    fn binary(&self, f: Binary, granted: &mut Granted) -> Cell {
        let float = self.dtype.is_float();
        match f {
            Binary::Mul if self.zero(0) || self.zero(1) => {
                let other = usize::from(self.zero(0));
                if float {
                    granted.operands[other] = Some(Need::Finite);
                }
                return Cell::ZERO;
            }
            Binary::And if self.zero(0) || self.zero(1) => return Cell::ZERO,
            Binary::Or if self.dtype == DType::Bool && self.cells[..2].contains(&Cell::Known(1)) => {
                return Cell::Known(1);
            }
            Binary::Add | Binary::Sub if float => {
                for (operand, other) in [(0, 1), (1, 0)] {
                    let Some(infinite) = self.known(operand).filter(|x| x.is_infinite()) else { continue };
                    let negated = f == Binary::Sub && operand == 1;
                    let result = if negated { -infinite } else { infinite };
                    // What meets it must not be the opposite infinity; of a subtrahend, the same one.
                    let up = (result > 0.0) != (f == Binary::Sub && other == 1);
                    let need = if up { Need::AboveInfinity } else { Need::BelowInfinity };
                    let before = granted.operands[other].replace(need);
                    if before.is_some_and(|before| before != need) {
                        granted.operands[other] = Some(Need::Finite);
                    }
                    return Cell::Known(u64::from(result.to_bits()));
                }
            }
            Binary::Div | Binary::Pow if float => {
                granted.result = true;
                if f == Binary::Div && self.zero(0) {
                    return Cell::ZERO;
                }
            }
            _ => {}
        }
        self.any()
    }

    fn select(&self) -> Cell {
        let [condition, a, b] = self.cells;
        match condition {
            Cell::Known(0) => b,
            Cell::Known(_) => a,
            _ if a == b && a.is_known() => a,
            _ => self.any(),
        }
    }

    /// Any function of the operands.
    fn any(&self) -> Cell {
        let cells = &self.cells[..self.count];
        let product = matches!(self.op, Op::Binary(Binary::Mul | Binary::And | Binary::Div) | Op::Select);
        let joined = |all: Cell, &cell: &Cell| if product { all.times(cell) } else { all.with(cell) };
        let all = cells.iter().fold(Cell::Free, joined);
        let hidden = (0..self.count).any(|operand| self.may_hide(operand));
        if hidden { all.unsure() } else { all }
    }

    /// Whether this operand could be a mask that closes the others' way here.
    fn may_hide(&self, operand: usize) -> bool {
        let masks = self.masks[operand];
        let adds = matches!(self.op, Op::Binary(Binary::Add | Binary::Sub));
        match self.cells[operand] {
            Cell::Reads { .. } => false,
            // A learnt table of positions is added everywhere; a mask is not learnt.
            Cell::Free => masks.free && (masks.stored || !adds),
            Cell::Known(_) => {
                let small = matches!(self.op, Op::Binary(Binary::Mul));
                let extreme = |x: f32| x.is_nan() || if small { x.abs() <= SMALL } else { x.abs() >= LARGE };
                masks.known && self.known(operand).is_some_and(extreme)
            }
        }
    }
}
