//! Text: where it comes from ([`fetch`], [`rust_src`], [`local`]), what pins it ([`corpus`]), which part trains and which
//! part judges ([`split`], [`duplicates`]), and what an experiment is scored on ([`task`], [`compress`]).
//! May use the cache; knows nothing of guests.

mod catalogue;
pub mod compress;
pub mod corpus;
pub mod duplicates;
mod error;
pub mod fetch;
pub mod local;
pub mod rust_src;
pub mod split;
pub mod task;

pub use catalogue::{BUILT_IN, Facts, Listed, Pick, Shown, add, is_known, list_all, open, pick, show};
pub use error::{DataError, UnknownToken};
pub use split::Split;
