//! The way of both programs: a child, or a word about what they are for.

use nightlab::sandbox::backend::{Card, Starter};
use nightlab::sandbox::child;
use nightlab::system::stack;
use std::io::Write;
use std::process::ExitCode;

/// Exit status of a command line that is none.
const USAGE: u8 = 2;

/// Does the work of a child on what `starter` starts.
pub fn run(starter: impl FnOnce(Card) -> Starter) -> ExitCode {
    // Before anything that needs a larger one.
    let said = match stack::ensure() {
        Err(error) => error.to_string(),
        Ok(()) => match child::main_if_child_on(starter) {
            Some(code) => return code,
            None => {
                "`host --device cuda` starts this program, and nobody else; `host doctor` says what it finds".into()
            }
        },
    };
    // There is nobody else to tell.
    let _ = writeln!(std::io::stderr(), "{said}");
    ExitCode::from(USAGE)
}
