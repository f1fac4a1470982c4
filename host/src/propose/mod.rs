//! Who writes the next mutation. [`proposer`] is the seam: every proposer gets a situation and gives a proposal. May import
//! `guest`, `record` and `system`; knows neither nights nor policies. Start with [`proposer`].

pub mod answer;
pub mod command;
pub mod description;
pub mod evolve;

pub mod history;
pub mod llm;
pub mod prompt;
pub mod proposer;
