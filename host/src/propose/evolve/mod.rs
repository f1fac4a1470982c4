//! The offline proposer: steps on a guest's constants and structural operators, as edits on its text. What it proposes
//! follows from the parent, the history, the night's random seed and the trial's number. Pure.

pub mod constants;
pub mod edit;
pub mod operators;
pub mod proposer;
pub mod random;
mod search;

pub use search::{
    CONSTANT, Evolve, History, Mutation, SAMPLE, Step, TWO_CONSTANTS, Trial, constants_of, sample_constants,
    steps_between,
};
