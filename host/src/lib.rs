//! The engine as a silent library: it never prints. `host`, the binary, is a thin shell around it.
//!
//! A room is a module of this list. Rooms import downwards only, and no file imports in a circle; a test holds both.
//!
//! ```text
//! mcp         a coding agent's door
//! night       the loop: propose, try, keep
//! policy      what a night is to do
//! experiment  from a text to an outcome
//! propose     who writes the next mutation
//! sandbox     runs guests, behind two walls
//! guest       source, compiler, component
//! data        corpora, splits, tasks
//! record      keys, outcomes, trials, the store
//! system      this machine
//! ```

pub mod data;
pub mod experiment;
pub mod guest;
pub mod mcp;
pub mod night;
pub mod policy;
pub mod propose;
pub mod record;
pub mod sandbox;
pub mod system;

use std::process::ExitCode;

/// Runs the child's part, if this process was started as a child: to compile or to run a guest, confined, or to watch over
/// a program. Comes before anything else in `main`, since confinement must precede threads.
pub fn main_if_child() -> Option<ExitCode> {
    if std::env::args_os().nth(1).is_some_and(|mode| mode == "__compile") {
        guest::toolchain::compile_child_main();
    }
    propose::command::main_if_supervisor().or_else(sandbox::child::main_if_child)
}
