//! What a child says to its parent, and a parent to its child.

use nightlab::sandbox::wire::{Frames, Job, Report, send};

/// More than any input, and far less than the memory limit of the run.
const LIMIT: u64 = 1 << 20;

/// # Panics
/// On a fault.
pub fn frames(bytes: &[u8]) {
    let _ = Frames::new(LIMIT).next::<Job>(&mut &*bytes);
    if let Ok(Some(report)) = Frames::new(LIMIT).next::<Report>(&mut &*bytes) {
        send(&mut std::io::sink(), &report).expect("what was read can be written");
    }
}
