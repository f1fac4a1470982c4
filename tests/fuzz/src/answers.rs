//! Answers of models and programs: read, and applied to the seed guest.

use nightlab::guest::seed::SEED_GUEST;
use nightlab::guest::source::MAX_SOURCE_BYTES;
use nightlab::propose::answer;

/// # Panics
/// On a fault.
pub fn answers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(answer) = answer::read(text) else { return };
    if let Ok(child) = answer::apply(&answer, SEED_GUEST) {
        assert!(child.len() <= MAX_SOURCE_BYTES);
    }
}
