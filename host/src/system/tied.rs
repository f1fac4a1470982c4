//! Programs that end when this process does, also if it is killed. The child is this very program for a moment: it asks
//! the system for the signal, and then becomes the other program.

use crate::system::process::this_program;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Name of the hidden mode on the command line. The parent's process id, the program and its arguments follow.
const MODE: &str = "__tied";

/// A command for `program`, which the system asks to end (SIGTERM) when the thread that starts it has ended.
pub(crate) fn tied(program: &Path) -> Command {
    let mut command = this_program();
    command.arg(MODE).arg(std::process::id().to_string()).arg(program);
    command
}

/// If this process was started in that mode, becomes the program. Call it first in `main`.
pub fn main_if_tied() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()?.to_str() != Some(MODE) {
        return None;
    }
    let (parent, program) = (arguments.next()?, arguments.next()?);
    // The parent may have ended before the system heard of the wish.
    let is_tied = set_parent_process_death_signal(Some(Signal::TERM)).is_ok()
        && getppid().is_some_and(|found| found.as_raw_nonzero().to_string().as_str() == parent);
    if is_tied {
        // Returns only if it fails.
        let _ = Command::new(program).args(arguments).exec();
    }
    Some(ExitCode::FAILURE)
}
