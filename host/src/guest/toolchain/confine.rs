//! The compiler's child: takes everything away from itself that a compiler does not need, then becomes `rustc`.

use crate::system::confinement::{self, Calls, ConfineError, Paths, Rlimits};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// How the parent hands the order over: a variable, since a test harness has arguments of its own.
pub(super) const ORDER_VARIABLE: &str = "HOST_CONFINED_COMPILE";

/// Exit status of a child that could not confine itself: the compiler never started.
pub(super) const NOT_CONFINED: i32 = 125;

/// What to become, and what is left to it.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// Where it may write temporary files.
    pub temporary: PathBuf,
    pub paths: Paths,
    pub limits: Rlimits,
    /// Process id of the host.
    pub parent: u32,
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
    #[error("{0} does not hold here: nothing can be compiled")]
    NoWall(&'static str),
    #[error("{program}: {error}")]
    NotStarted { program: String, error: std::io::Error },
}

/// What `host __compile` does: confines itself as the parent ordered, then becomes the compiler. Never returns; on
/// failure says why on stderr and exits with status 125.
pub fn compile_child_main() -> ! {
    let refusal = match order().and_then(|order| confine(&order).map(|()| order)) {
        Ok(order) => become_compiler(&order),
        Err(refusal) => refusal,
    };
    // The parent shows this; should the pipe be gone, nobody is left to tell.
    let _ = writeln!(std::io::stderr(), "{refusal}");
    std::process::exit(NOT_CONFINED)
}

fn order() -> Result<Order, Refusal> {
    let text = std::env::var(ORDER_VARIABLE).map_err(|_| Refusal::NoOrder)?;
    Ok(serde_json::from_str(&text)?)
}

/// A system can announce a wall that does not hold, as some containers do: each is tried by a forbidden act.
fn confine(order: &Order) -> Result<(), Refusal> {
    confinement::die_with_parent(order.parent)?;
    confinement::limits(&order.limits)?;
    confinement::landlock(&order.paths)?;
    if !confinement::files_refused() {
        return Err(Refusal::NoWall("Landlock"));
    }
    confinement::seccomp(Calls::Compiling)?;
    if !confinement::sockets_refused() {
        return Err(Refusal::NoWall("seccomp"));
    }
    Ok(())
}

fn become_compiler(order: &Order) -> Refusal {
    let error = Command::new(&order.program).args(&order.args).env_clear().env("TMPDIR", &order.temporary).exec();
    Refusal::NotStarted { program: order.program.display().to_string(), error }
}
