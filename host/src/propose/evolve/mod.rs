//! The offline proposer: changes a guest's constants and applies structural operators, as edits on its text. Its
//! proposals depend only on the parent, the history, the night's random seed and the trial number. Pure.

pub mod ablation;
pub mod carried;
pub mod constants;
pub mod edit;
pub mod effects;
pub mod known;
pub mod model;
pub mod operators;
pub mod proposer;
pub mod random;
mod search;

pub use search::{
    BUNDLE, CONSTANT, CONSTANTS, Champion, Evolve, History, Mutation, NEAR_MISSES, SAMPLE, constants_of, possible,
    sample_constants,
};
