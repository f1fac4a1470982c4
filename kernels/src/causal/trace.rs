//! What a pass over the records carries along: bounds on its work, the executor of known values, and what it takes for
//! granted.

use super::cell::Cell;
use super::cells::{Cells, Traced};
use super::known;
use crate::exec::Executor;
use crate::fault::Fault;
use crate::op::{Op, TensorId};
use crate::spec::{Spec, Values};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most cells that one tensor may hold. A larger one is one cell: the tokens of all.
pub const MAX_CELLS: usize = 1 << 22;
/// Most cells that a pass may hold at a time: 16 bytes each.
pub const MAX_HELD: usize = 1 << 24;
/// Most cells that a pass may visit: about a second.
pub const MAX_WORK: u64 = 1 << 28;

/// What a proof takes for granted of a tensor's values in an evaluation. A known zero or infinity hides only what is
/// finite: 0 · ∞ is NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Need {
    /// No NaN and no infinity.
    Finite,
    /// No NaN and no +∞: −∞ is added.
    BelowInfinity,
    /// No NaN and no −∞: +∞ is added.
    AboveInfinity,
}

impl Need {
    /// Whether a value is as it must be.
    pub fn holds(self, value: f32) -> bool {
        match self {
            Self::Finite => value.is_finite(),
            Self::BelowInfinity => value < f32::INFINITY,
            Self::AboveInfinity => value > f32::NEG_INFINITY,
        }
    }
}

/// What is taken for granted, by tensor.
pub type Needs = BTreeSet<(TensorId, Need)>;

/// Why a pass ended early.
#[derive(Debug)]
pub enum Stop {
    /// [`MAX_WORK`] or [`MAX_HELD`] is used up.
    TooMuch,
    /// The executor of known values failed.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The state of a pass.
pub struct Trace<'a> {
    pub needs: Needs,
    work: u64,
    held: usize,
    make: &'a dyn Fn() -> Box<dyn Executor>,
    executor: Option<Box<dyn Executor>>,
}

impl<'a> Trace<'a> {
    /// A pass that computes known values by executors that `make` makes.
    pub fn new(make: &'a dyn Fn() -> Box<dyn Executor>) -> Self {
        Self { needs: Needs::new(), work: 0, held: 0, make, executor: None }
    }

    /// Counts cells that are to be visited.
    pub fn visit(&mut self, cells: usize) -> Result<(), Stop> {
        self.work = self.work.saturating_add(cells as u64);
        if self.work > MAX_WORK { Err(Stop::TooMuch) } else { Ok(()) }
    }

    /// Counts the cells of a tensor that was made, which took a visit of each.
    pub fn hold(&mut self, cells: usize) -> Result<(), Stop> {
        self.held = self.held.saturating_add(cells);
        if self.held > MAX_HELD { Err(Stop::TooMuch) } else { self.visit(cells) }
    }

    /// Counts the cells of a tensor that is gone.
    pub fn free(&mut self, cells: usize) {
        self.held = self.held.saturating_sub(cells);
    }

    /// Takes this for granted.
    pub fn need(&mut self, tensor: TensorId, need: Need) {
        self.needs.insert((tensor, need));
    }

    /// Computes an op on known values; `None` where it fails, as it will in an evaluation.
    pub fn execute(
        &mut self,
        op: &Op,
        inputs: &[(Spec, Values)],
        outputs: &[Spec],
    ) -> Result<Option<Vec<Values>>, Stop> {
        let executor = self.executor.get_or_insert_with(self.make);
        let done = known::execute(executor.as_mut(), op, inputs, outputs);
        if !matches!(done, Ok(Some(_))) {
            // A fault leaves an executor unusable.
            self.executor = None;
        }
        Ok(done?)
    }

    /// Whether cells of these sizes may be held.
    pub fn holds(sizes: &[usize]) -> bool {
        sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).is_some_and(|n| n <= MAX_CELLS)
    }

    /// A tensor that is one cell, made of all of the operands: what can be said where more would be too much.
    pub fn coarse(&mut self, inputs: &[&Traced], spec: &Spec) -> Result<Traced, Stop> {
        let mut all = Cell::Free;
        for input in inputs {
            self.visit(input.cells.data.len())?;
            all = input.cells.data.iter().fold(all, |all, &cell| all.with(cell));
        }
        Ok(Self::made(inputs, spec, Cells::uniform(spec.shape.rank(), all.unsure())))
    }

    /// A tensor made of these operands.
    pub fn made(inputs: &[&Traced], spec: &Spec, cells: Cells) -> Traced {
        let placed = inputs.iter().any(|input| input.placed);
        let stored = inputs.iter().any(|input| input.stored);
        Traced { spec: spec.clone(), cells, placed, stored }
    }
}
