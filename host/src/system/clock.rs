//! The wall clock, which is recorded beside results and never enters one.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, for records that people read; never part of a key or a result.
pub fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
