//! What a model is told: pure functions of a [`Situation`], golden-tested. A prompt is a list of parts, each with its rank;
//! where it would not fit its token budget, parts of the highest rank go first, cut at a line where a part of a part
//! still helps. What guests, models and strangers wrote is escaped, capped, fenced and called data.

mod compose;
mod history;
mod parts;
mod repair;
#[cfg(test)]
mod tests;

pub use compose::{digest, propose, read_digest};
pub use parts::{Prompt, SYSTEM, TOKEN_BYTES};
pub use repair::repair;
