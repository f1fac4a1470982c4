//! A recorded `forward`, a pass over it, and the logits that break a rule.

use super::call::Call;
use super::cell::{Cell, Reach};
use super::cells::{Traced, walk};
use super::record::Recording;
use super::rules;
use super::trace::{Needs, Stop, Trace};
use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::op::TensorId;
use std::collections::BTreeMap;

/// A `forward` that was recorded.
#[derive(Debug)]
pub struct Source {
    /// Its records. The last tensor that the host gave are the tokens [rows, time].
    pub recording: Recording,
    /// Of each tensor that the host gave, whether it is a named buffer: a guest may keep masks in buffers.
    pub buffers: Vec<bool>,
    /// The logits [rows, time, vocab].
    pub output: TensorId,
}

/// An op by which a logit depends on what it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The first such op.
    pub op: &'static str,
    /// Its index in the op stream.
    pub index: u64,
    /// Position of the first logit that does.
    pub position: u32,
    /// The latest position that it depends on.
    pub latest: u32,
}

/// What may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// A dependence on other rows; else one on later tokens.
    pub rows: bool,
    /// One that is sure; else one that may be.
    pub sure: bool,
}

/// Logits that break a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    pub count: u64,
    /// Position of the first, and the latest that it depends on.
    pub first: Option<(u32, u32)>,
}

/// What is known of each element of the source's output, which may be any tensor, and what that takes for granted.
/// `None` where it would be too much work.
///
/// # Errors
/// The executor's own failure.
pub fn elements(source: &Source, make: &dyn Fn() -> Box<dyn Executor>) -> Result<Option<(Vec<Cell>, Needs)>, Fault> {
    let mut trace = Trace::new(make);
    match source.pass(&mut trace, &mut |_, _| {}) {
        Ok(output) => Ok(Some((output.cells.filled(&output.sizes()).data, trace.needs))),
        Err(Stop::TooMuch) => Ok(None),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

impl Source {
    /// Rows and positions, if they can be told apart.
    pub(super) fn sizes(&self) -> Option<(u32, u32)> {
        match self.recording.given.last()?.1.shape.dims() {
            &[rows, time] if rows <= Reach::LIMIT && time <= Reach::LIMIT => Some((rows, time)),
            _ => None,
        }
    }

    /// The logits after a pass. `change` may change what each step makes.
    pub fn pass(&self, trace: &mut Trace, change: &mut dyn FnMut(usize, &mut Traced)) -> Result<Traced, Stop> {
        let mut tensors = BTreeMap::<TensorId, Traced>::new();
        let (rows, time) = self.sizes().ok_or(Stop::TooMuch)?;
        for (place, (id, spec)) in self.recording.given.iter().enumerate() {
            let traced = match place + 1 == self.recording.given.len() {
                true => rules::tokens(rows, time, spec),
                false => {
                    let stored = self.buffers.get(place).copied().unwrap_or(true);
                    Traced { stored, ..Traced::uniform(spec.clone(), Cell::Free) }
                }
            };
            tensors.insert(*id, traced);
        }
        for (step, done) in self.recording.steps.iter().enumerate() {
            let (record, outputs) = match done {
                Step::Run { record, outputs, .. } => (record, outputs),
                Step::Free(id) => {
                    trace.free(tensors.remove(id).map_or(0, |freed| freed.cells.data.len()));
                    continue;
                }
            };
            let absent = |id: &TensorId| Stop::Fault(Fault::Executor(format!("tensor {} is not there", id.0)));
            let inputs = record.inputs.iter().map(|id| tensors.get(id).ok_or_else(|| absent(id)));
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            let call = Call { op: &record.op, inputs: &inputs, ids: &record.inputs, outputs, made: &record.outputs };
            let made = call.made(trace, record.data.as_deref())?;
            for (id, mut traced) in record.outputs.iter().zip(made) {
                change(step, &mut traced);
                trace.hold(traced.cells.data.len())?;
                tensors.insert(*id, traced);
            }
        }
        tensors.remove(&self.output).ok_or_else(|| Stop::Fault(Fault::Executor("the logits are not there".into())))
    }
}

/// The logits [rows, time, vocab] that depend on what they may not.
pub fn broken(output: &Traced, (rows, time): (u32, u32), question: Question) -> Broken {
    let mut found = Broken::default();
    let steps = output.cells.steps();
    let sizes = [rows as usize, time as usize, output.cells.held[2]];
    let own = [time as usize, 1, 0];
    walk(&sizes, [&steps, &own], |[at, place]| {
        let (row, position) = (place as u32 / time, place as u32 % time);
        let cell = output.cells.data[at];
        let reach = if question.sure { cell.sure() } else { cell.may() };
        let latest = reach.latest();
        let breaks = match question.rows {
            true => !reach.is_within(row),
            false => latest.is_some_and(|latest| latest > position),
        };
        if breaks {
            found.count += 1;
            found.first.get_or_insert((position, latest.unwrap_or(0)));
        }
    });
    found
}
