//! The two dialects: how requests are written, and how answers are read, streamed or whole. Pure. Checks everything
//! that a server sends.

mod anthropic;
mod complaint;
mod manners;
mod openai;
mod reading;
mod speak;
#[cfg(test)]
mod tests;

pub(super) use manners::Manners;
pub use reading::Response;
pub(super) use reading::{Reading, refusal};
pub(super) use speak::body;
