//! The compiler's child process: it confines itself, then executes `rustc`.

use crate::system::confinement::{self, Calls, ConfineError, Paths, Rlimits};
use crate::system::process::{self, Ended};
use crate::system::walls::{self, Act, Walls};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The parent passes the order in this variable, because a test harness has arguments of its own.
pub(super) const ORDER_VARIABLE: &str = "HOST_CONFINED_COMPILE";

/// Exit status of a child that could not confine itself. The compiler was not started.
pub(super) const NOT_CONFINED: i32 = 125;

/// What the child executes, and what it may access.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Folder for temporary files, which it may write to.
    pub temporary: PathBuf,
    pub paths: Paths,
    pub limits: Rlimits,
    /// Process id of the host.
    pub parent: u32,
    /// Whether it is a tool of another language. These execute what the system has, and look for a home.
    pub is_other_language: bool,
    /// If there are any, the child starts no compiler: it writes to stderr which walls hold, and which of these
    /// files it can open.
    pub probe: Option<Vec<PathBuf>>,
}

impl Order {
    /// Gives the order to a child: a program of the host with its arguments, in the folder `root`.
    ///
    /// # Errors
    /// A path is not UTF-8, or the child cannot be started or watched.
    pub(super) fn carry_out(
        &self,
        helper: &[PathBuf],
        root: &Path,
        limit: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> io::Result<Ended> {
        let order = serde_json::to_string(self).map_err(|e| io::Error::other(format!("a path is not UTF-8: {e}")))?;
        let (program, args) = helper.split_first().ok_or_else(|| io::Error::other("no helper"))?;
        let mut command = Command::new(program);
        command.arg0("host").args(args).env_clear().env(ORDER_VARIABLE, order).current_dir(root);
        process::run_closed(command, limit, stopped)
    }
}

/// Why the compiler did not start.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("this command is for the host itself")]
    NoOrder,
    #[error("the compiler's order is unreadable: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Wall(#[from] ConfineError),
    #[error("a wall is missing, so nothing can be compiled: {0}; `host doctor` tells more")]
    NoWall(String),
    #[error("{program}: {error}")]
    NotStarted { program: String, error: std::io::Error },
}

/// Entry point of `host __compile`: confines itself as the parent ordered, then executes the compiler. Never returns.
/// On failure, it prints the reason to stderr and exits with status 125.
pub fn compile_child_main() -> ! {
    let refusal = match order().and_then(|order| confine(&order).map(|walls| (order, walls))) {
        Ok((Order { probe: Some(_), .. }, walls)) => print(&walls),
        Ok((order, walls)) => walls.missing().map_or_else(|| become_compiler(&order), Refusal::NoWall),
        Err(refusal) => refusal,
    };
    // The parent shows this. If the pipe is closed, nobody can read it.
    let _ = writeln!(std::io::stderr(), "{refusal}");
    std::process::exit(NOT_CONFINED)
}

/// Writes to stderr what was found, and ends the process.
fn print(walls: &Walls) -> Refusal {
    match serde_json::to_writer(std::io::stderr(), walls) {
        Ok(()) => std::process::exit(0),
        Err(error) => Refusal::Unreadable(error),
    }
}

fn order() -> Result<Order, Refusal> {
    let text = std::env::var(ORDER_VARIABLE).map_err(|_| Refusal::NoOrder)?;
    Ok(serde_json::from_str(&text)?)
}

/// Puts up the walls and tests them.
fn confine(order: &Order) -> Result<Walls, Refusal> {
    confinement::die_with_parent(order.parent)?;
    confinement::close_descriptors()?;
    confinement::limits(&order.limits)?;
    confinement::landlock(&order.paths)?;
    let landlock = walls::landlock_holds();
    confinement::seccomp(Calls::Compiling)?;
    let mut possible = walls::possible(Calls::Compiling, order.parent);
    possible.retain(|act| !(order.is_other_language && *act == Act::Execute));
    Ok(Walls { landlock, possible, opened: order.probe.as_deref().map(walls::opened).unwrap_or_default() })
}

fn become_compiler(order: &Order) -> Refusal {
    let error = Command::new(&order.program)
        .args(&order.args)
        .env_clear()
        .env("TMPDIR", &order.temporary)
        .envs(order.is_other_language.then_some(("HOME", &order.temporary)))
        .exec();
    Refusal::NotStarted { program: order.program.display().to_string(), error }
}
