//! Which op it was: the first after which the logits keep the rule if its result is made to keep it.

use super::cell::Cell;
use super::cells::{Axes, Traced, walk};
use super::source::{Broken, Leak, Question, Source, broken};
use super::trace::{Stop, Trace};
use crate::exec::{Executor, Step};
use crate::fault::Fault;

/// Most ops that are tried.
const TRIES: usize = 64;

/// The rows or positions that a result's elements belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// Along an axis: of rows or of positions, by the question.
    Axis(usize),
    /// Along an axis that is rows × positions.
    Flat(usize),
    /// One value serves all positions: only the first may be read, or no row.
    Nowhere,
}

/// The op to name for logits that break a rule.
pub fn leak(
    source: &Source,
    make: &dyn Fn() -> Box<dyn Executor>,
    question: Question,
    whole: Broken,
) -> Result<Leak, Fault> {
    let (position, latest) = whole.first.unwrap_or_default();
    let step = first_step(source, make, question, whole)?;
    let named = step.and_then(|step| match source.recording.steps.get(step) {
        Some(Step::Run { record, index, .. }) => Some((record.op.name(), *index)),
        Some(Step::Free(_)) | None => None,
    });
    let (op, index) = named.unwrap_or(("forward", 0));
    Ok(Leak { op, index, position, latest })
}

fn first_step(
    source: &Source,
    make: &dyn Fn() -> Box<dyn Executor>,
    question: Question,
    whole: Broken,
) -> Result<Option<usize>, Fault> {
    let Some(sizes) = source.sizes() else { return Ok(None) };
    let mut suspects = Vec::new();
    let mut trace = Trace::new(make);
    let passed = source.pass(&mut trace, &mut |step, made| {
        for own in owns(made, sizes, question) {
            if suspects.len() < TRIES && cut(&mut made.clone(), own, sizes, question) {
                suspects.push((step, own));
            }
        }
    });
    match passed {
        Ok(_) | Err(Stop::TooMuch) => {}
        Err(Stop::Fault(fault)) => return Err(fault),
    }
    let mut better = None;
    for (step, own) in suspects {
        let mut change = |at: usize, made: &mut Traced| {
            if at == step {
                cut(made, own, sizes, question);
            }
        };
        // The work of all tries is counted together.
        let left = match source.pass(&mut trace, &mut change) {
            Ok(output) => broken(&output, sizes, question).count,
            Err(Stop::TooMuch) => break,
            Err(Stop::Fault(fault)) => return Err(fault),
        };
        if left == 0 {
            return Ok(Some(step));
        }
        if left < whole.count {
            better.get_or_insert(step);
        }
    }
    let last = || {
        source
            .recording
            .steps
            .iter()
            .rposition(|step| matches!(step, Step::Run { record, .. } if record.outputs.contains(&source.output)))
    };
    Ok(better.or_else(last))
}

/// What a result's axes may be, judged by their sizes.
fn owns(made: &Traced, (rows, time): (u32, u32), question: Question) -> Vec<Own> {
    let (rows, time) = (rows as usize, time as usize);
    let mut owns = Vec::new();
    for (axis, &size) in made.sizes().iter().enumerate() {
        if made.cells.held[axis] == 1 {
            continue;
        }
        if rows > 1 && size == rows * time {
            owns.push(Own::Flat(axis));
        }
        let is_rows = size == rows && tells_rows(made, axis);
        let fits = if question.rows { is_rows } else { size <= time && size > time / 2 && !is_rows };
        if fits {
            owns.push(Own::Axis(axis));
        }
    }
    if owns.is_empty() {
        owns.push(Own::Nowhere);
    }
    owns
}

/// Whether the row of what is read differs along the axis.
fn tells_rows(made: &Traced, axis: usize) -> bool {
    let cells = &made.cells;
    let inner: usize = cells.held[axis + 1..].iter().product();
    let row_of = |cell: Cell| cell.may().row();
    cells.data.chunks_exact(cells.held[axis] * inner).any(|block| {
        block[inner..]
            .iter()
            .zip(block)
            .any(|(a, b)| row_of(*a).is_some() && row_of(*b).is_some() && row_of(*a) != row_of(*b))
    })
}

/// Takes from a result what its elements may not depend on; whether there was any.
fn cut(made: &mut Traced, own: Own, (_, time): (u32, u32), question: Question) -> bool {
    let mut steps: Axes = made.cells.held.iter().map(|_| 0).collect();
    if let Own::Axis(axis) | Own::Flat(axis) = own {
        steps[axis] = 1;
    }
    let (held, at) = (made.cells.held.clone(), made.cells.steps());
    let mut changed = false;
    walk(&held, [&at, &steps], |[at, place]| {
        let Cell::Reads { may, sure } = made.cells.data[at] else { return };
        let place = place as u32;
        let reads = |row, position| Cell::Reads { may: may.cut(row, position), sure: sure.cut(row, position) };
        let after = match (own, question.rows) {
            (Own::Axis(_), true) => reads(Some(place), None),
            (Own::Axis(_), false) => reads(None, Some(place)),
            (Own::Flat(_), true) => reads(Some(place / time), None),
            (Own::Flat(_), false) => reads(None, Some(place % time)),
            (Own::Nowhere, true) => Cell::Free,
            (Own::Nowhere, false) => reads(None, Some(0)),
        };
        changed |= after != made.cells.data[at];
        made.cells.data[at] = after;
    });
    changed
}
