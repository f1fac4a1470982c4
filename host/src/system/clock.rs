//! The wall clock. Its time is recorded beside results, and is never part of one.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, for records that people read; never part of a key or a result.
pub fn unix_ms() -> i64 {
    ms_since_1970(SystemTime::now())
}

/// Negative before 1970.
fn ms_since_1970(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_before_1970_are_negative() {
        assert_eq!(ms_since_1970(UNIX_EPOCH + Duration::from_millis(1500)), 1500);
        assert_eq!(ms_since_1970(UNIX_EPOCH - Duration::from_millis(1500)), -1500);
    }
}
