//! Decides what counts as a gain. Pure: scores in, a decision out. Imports `record` alone.
//!
//! Candidate and champion meet on the same random seeds, so that what a seed does to both cancels. After each seed the
//! judge asks how probable it is that the candidate is better. Then it keeps it, drops it, or asks for one more seed.
//!
//! Start with `rule`, which has the decision; `posterior` has the probability, `pairs` what was measured, `prior` what
//! is believed before that, `experience` how a night's trials change this belief, and `noise` the scatter of one guest.

mod error;
mod experience;
mod noise;
mod pairs;
mod posterior;
mod prior;
mod rule;

pub use error::JudgeError;
pub use experience::Experience;
pub use noise::Noise;
pub use pairs::{Evidence, Pair, gain_between};
pub use posterior::Posterior;
pub use prior::{Prior, SPREADS};
pub use rule::{Next, Selection};
