//! A proposer's answer: a hypothesis in one line, then search/replace blocks or a whole file. Reading is tolerant and
//! applying is exact. Refusals are worded so that a model can act on them. Pure; input is untrusted.

mod apply;
mod format;
mod read;
#[cfg(test)]
mod tests;
mod thoughts;

pub use apply::apply;
pub use format::{Answer, AnswerError, Block, Change, FORMAT, MAX_ANSWER_BYTES, MAX_BLOCKS};
pub use read::read;
pub use thoughts::without_thoughts;
