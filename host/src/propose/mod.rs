//! Proposers, which write the next mutation. Every proposer implements the trait in [`proposer`]: it gets a situation
//! and returns a proposal. May import `guest`, `record` and `system`. Start with [`proposer`].

pub mod answer;
pub mod command;
pub mod commons;
pub mod description;
pub mod evolve;
pub mod history;
pub mod inbox;
pub mod llm;
pub mod patch;
pub mod prompt;
pub mod proposer;
