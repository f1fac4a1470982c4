//! The proof: one pass over the records, and what the logits then depend on.

use super::blame;
use super::source::{Broken, Leak, Question, Source, broken};
use super::trace::{Needs, Stop, Trace};
use crate::exec::Executor;
use crate::fault::Fault;

/// What the records say of all texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// A logit depends on tokens of its own row alone, none of them later, as long as this holds in the evaluation.
    Proved(Needs),
    /// A logit depends on a later token.
    LooksAhead(Leak),
    /// A logit depends on another row.
    MixesRows(Leak),
    /// Neither could be told.
    Unproved(Why),
}

/// Why there is no proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// This op may let a logit depend on a later token, or on another row: it depends on values.
    Op {
        /// Where.
        leak: Leak,
        /// Whether it is rows that may be mixed.
        rows: bool,
    },
    /// Too many rows, positions or elements.
    TooLarge,
}

/// Runs the records on cells. Known values are computed by executors that `make` makes.
///
/// # Errors
/// The executor's own failure.
pub fn prove(source: &Source, make: &dyn Fn() -> Box<dyn Executor>) -> Result<Finding, Fault> {
    let Some((rows, time)) = source.sizes() else { return Ok(Finding::Unproved(Why::TooLarge)) };
    let mut trace = Trace::new(make);
    let output = match source.pass(&mut trace, &mut |_, _| {}) {
        Ok(output) => output,
        Err(Stop::TooMuch) => return Ok(Finding::Unproved(Why::TooLarge)),
        Err(Stop::Fault(fault)) => return Err(fault),
    };
    let ask = |rows_, sure| broken(&output, (rows, time), Question { rows: rows_, sure });
    let leak = |rows, sure, broken: Broken| blame::leak(source, make, Question { rows, sure }, broken);
    // A reach over several rows has lost which positions it has of its own: rows come first.
    for (rows, sure) in [(true, true), (false, true), (true, false), (false, false)] {
        let broken = ask(rows, sure);
        if broken.count > 0 {
            let leak = leak(rows, sure, broken)?;
            return Ok(match (rows, sure) {
                (true, true) => Finding::MixesRows(leak),
                (false, true) => Finding::LooksAhead(leak),
                (rows, false) => Finding::Unproved(Why::Op { leak, rows }),
            });
        }
    }
    Ok(Finding::Proved(trace.needs))
}
