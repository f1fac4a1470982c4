//! A session: what one guest run holds. Every guest call becomes records here: inferred, charged, counted against the
//! live-byte limit, recorded on the tape, enqueued, and at a flush executed.
//!
//! Start at [`Session`] in `state`, then `submit`, the one path that every op takes. `calls`, `slots`, `segment` and
//! `tape` are what a guest can ask for; `intervals` hashes the run's state. May import every other module of the crate
//! but the executors, and knows nothing of WASM.

mod calls;
mod ids;
mod interface;
mod intervals;
mod ledger;
mod memory;
mod node;
mod queue;
mod segment;
mod slots;
mod state;
mod submit;
mod tape;
#[cfg(test)]
mod tests;

pub use interface::{
    Answers, Batches, Checkpoint, Config, LOSS, LogPoint, MAX_KEY, MAX_POINTS, MAX_READ, MAX_READS, Mode, NamedState,
    Totals,
};
pub use intervals::MAX_CHECKPOINT_BYTES;
pub use state::Session;
