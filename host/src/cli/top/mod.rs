//! `host top`: a night in the terminal while it runs.
//!
//! `command` chooses the way. `watched` reads the store and what the night says of itself; `glance` puts it into words;
//! `screen` draws them, and `plain` prints them where there is no terminal.

mod command;
mod glance;
mod plain;
mod screen;
mod watched;

pub use command::top;
