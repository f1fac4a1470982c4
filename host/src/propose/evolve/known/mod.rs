//! What the search knows: what the changes of all trials did, what probably gains and is not kept, what was not tried,
//! and what fails. People, models, programs and agents are told the same. Pure. Start with `know`; `moved` tells which
//! constants and switches moved the score.

mod know;
mod moved;
#[cfg(test)]
pub(crate) mod tests;
mod text;

pub use know::{Failing, Idea, Known, Measured, know, of_situation};
pub use moved::{Importance, Moved, moved};
