//! Prompts as pure functions of a `Situation`, with golden tests. A prompt is a list of parts, each with a rank. If
//! it exceeds its token budget, parts of the highest rank are dropped first, or cut at a line if the start still helps.
//! Untrusted text is escaped, capped, fenced and marked as data.

mod compose;
mod history;
mod parts;
mod repair;
#[cfg(test)]
mod tests;

pub use compose::{digest, propose, read_digest};
pub use parts::{Prompt, SYSTEM, TOKEN_BYTES};
pub use repair::repair;
