//! The commons: a folder, usually of a Git repository, in which labs show each other what they found. Each lab writes
//! in a folder of its own, and what a file says decides its path, so that no two labs ever change the same file.
//! docs/commons.md describes the layout.
//!
//! `publish` writes findings and negatives that are not there yet. `follow` reads those of others as hostile input, and
//! takes in what holds: `news` finds what is new here, and `prove` runs a `sample` of it again. `tree` reads the
//! folder, `draw` decides by chance what is read and run, `refusal` says why something is not taken. `git` commits what
//! was published.

mod draw;
mod error;
mod follow;
mod git;
mod news;
mod prove;
mod publish;
mod refusal;
mod sample;
mod tree;

pub use error::CommonsError;
pub use follow::{Follow, Followed, Taken, follow};
pub use git::{GitError, check_settings, commit};
pub use publish::{LeftOut, Published, publish};
pub use refusal::{Refusal, Refused};
pub use sample::Sample;
pub use tree::list_path;
