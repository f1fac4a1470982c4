//! WASI for guests of other toolchains, which import it whether they use it or not: a world in which nothing happens.
//! Clocks stand still, randomness follows from the experiment's random seed, there are no files, arguments, variables
//! or sockets, and what is written is kept for the message of a failure. Start with `answers`, the table of the
//! functions.

mod answers;
mod link;
mod outside;

pub use answers::NoSuchFunction;
pub use link::{is_answered, link};
pub use outside::{Outside, Wrote};
