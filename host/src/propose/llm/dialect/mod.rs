//! The two dialects: what a request says, and what an answer means, whether it comes as events or whole. Pure; believes
//! nothing of a server but what it can check.

mod anthropic;
mod openai;
mod reading;
mod speak;
#[cfg(test)]
mod tests;

pub use reading::Response;
pub(super) use reading::{Reading, refusal};
pub(super) use speak::body;
