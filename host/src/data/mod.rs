//! Text: sources ([`fetch`], [`rust_src`], [`local`]), the manifest that pins it ([`corpus`]), the splits ([`split`],
//! [`duplicates`]), and the task that experiments are scored on ([`task`], [`compress`]). May import `record` and
//! `system`. Start with `catalogue`, which opens a corpus by name.

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
