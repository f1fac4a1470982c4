//! Text: sources ([`fetch`], [`rust_src`], [`local`], [`text_file`]), the manifest that pins it ([`corpus`]), the
//! splits ([`split`], [`duplicates`], `split_cache`), and the task that experiments are scored on ([`task`],
//! [`compress`]; `lesson` carries it to other machines). May import `record` and `system`. Start with `catalogue`,
//! which opens a corpus by name.

mod catalogue;
pub mod compress;
pub mod corpus;
pub mod duplicates;
mod error;
pub mod fetch;
mod lesson;
pub mod local;
pub mod rust_src;
pub mod split;
mod split_cache;
pub mod task;
pub mod text_file;

pub use catalogue::{
    Added, BUILT_IN, COMPRESSED, Facts, Listed, Pick, Shown, add, is_known, list_all, open, pick, show,
};
pub use error::{DataError, UnknownToken};
pub use lesson::LessonError;
pub use split::Split;
pub use split_cache::splits;
