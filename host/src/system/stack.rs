//! The stack of the main thread. A limit that is too small (`ulimit -s`) would end the process with a signal.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What this program needs, with room to spare.
const NEEDED_BYTES: u64 = 1 << 20;
/// What systems usually give.
const USUAL_BYTES: u64 = 8 << 20;

/// The limit is too small, and the system lets nobody but its administrator raise it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stack is limited to {} KiB, and this program needs {}: raise the limit with `ulimit -s {}`",
    .0 >> 10,
    NEEDED_BYTES >> 10,
    USUAL_BYTES >> 10
)]
pub struct TooSmall(u64);

/// Raises a limit that is too small for this process and its children.
///
/// # Errors
/// If the system refuses that.
pub fn ensure() -> Result<(), TooSmall> {
    let mut limit = getrlimit(Resource::Stack);
    let Some(given) = limit.current.filter(|given| *given < NEEDED_BYTES) else { return Ok(()) };
    limit.current = Some(limit.maximum.map_or(USUAL_BYTES, |most| most.min(USUAL_BYTES)));
    let is_enough = limit.current >= Some(NEEDED_BYTES) && setrlimit(Resource::Stack, limit).is_ok();
    if is_enough { Ok(()) } else { Err(TooSmall(given)) }
}
