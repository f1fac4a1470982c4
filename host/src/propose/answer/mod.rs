//! A proposer's answer: a hypothesis in one line, then search/replace blocks or a whole file. Read tolerantly, applied
//! exactly, refused in words that the model can act on. Pure; any text is input, none is trusted.

mod apply;
mod format;
mod read;
#[cfg(test)]
mod tests;

pub use apply::apply;
pub use format::{Answer, AnswerError, Block, Change, FORMAT, HYPOTHESIS_CHARS, MAX_ANSWER_BYTES, MAX_BLOCKS};
pub use read::read;
