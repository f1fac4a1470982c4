//! The engine as a library. It never prints. The binary `host` is a thin layer around it.
//!
//! Each module in this list is a room. Rooms import downwards only, and files never import each other in a circle. A
//! test checks both rules.
//!
//! ```text
//! mcp         the server for coding agents
//! swarm       a night over many machines
//! night       the loop: propose, try, keep
//! policy      the settings of a night
//! experiment  from a text to an outcome
//! propose     the authors of mutations
//! sandbox     runs guests behind two walls
//! guest       source, compiler, component
//! community   submissions, claims and receipts of strangers
//! data        corpora, splits, tasks
//! record      keys, outcomes, trials, the store
//! system      this machine
//! ```

pub mod community;
pub mod data;
pub mod experiment;
pub mod guest;
pub mod mcp;
pub mod night;
pub mod policy;
pub mod propose;
pub mod record;
pub mod sandbox;
pub mod swarm;
pub mod system;

use std::process::ExitCode;

/// If this process was started as a child, does the child's work: compile or run a guest in confinement, or supervise a
/// program, or become one. Call it first in `main`, because confinement must come before any thread starts.
pub fn main_if_child() -> Option<ExitCode> {
    if std::env::args_os().nth(1).is_some_and(|mode| mode == "__compile") {
        guest::toolchain::compile_child_main();
    }
    propose::command::main_if_supervisor().or_else(sandbox::child::main_if_child).or_else(system::tied::main_if_tied)
}
