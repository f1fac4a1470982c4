//! The model of the offline search: what all trials of a context teach about the next one.
//!
//! Read `change` (what a trial changed), `feature` (the model's unknowns), `posterior` (the regression), then `choose`
//! (the next proposal). `belief` puts them together.

pub mod belief;
pub mod change;
mod cholesky;
pub mod choose;
pub mod failures;
mod feature;
pub mod moves;
pub mod noise;
pub mod normal;
pub mod parts;
mod posterior;
pub mod run;
