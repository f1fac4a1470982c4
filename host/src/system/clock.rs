//! Time. It is recorded beside results and ends what hangs; it is never part of a result.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * 3600 * 1000;

/// A gap between two looks at a [`Countdown`] counts as this at most: somebody paused this process.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// A time limit that counts only the time in which this process ran: Ctrl-Z, a debugger or a suspended machine use up
/// none of it. Its owner must look at it several times a second.
#[derive(Debug)]
pub struct Countdown {
    left: Duration,
    looked: Instant,
}

impl Countdown {
    pub fn new(limit: Duration) -> Self {
        Self { left: limit, looked: Instant::now() }
    }

    /// Whether the time is up.
    pub fn is_over(&mut self) -> bool {
        let gap = self.looked.elapsed();
        self.looked = Instant::now();
        self.pass(gap)
    }

    fn pass(&mut self, gap: Duration) -> bool {
        self.left = self.left.saturating_sub(gap.min(LONGEST_GAP));
        self.left.is_zero()
    }
}

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

    #[test]
    fn a_pause_is_not_a_time_out() {
        let mut left = Countdown::new(Duration::from_secs(10));
        assert!(!left.pass(Duration::from_secs(3600)), "the process was paused for an hour");
        assert!((0..8).all(|_| !left.pass(LONGEST_GAP)));
        assert!(left.pass(LONGEST_GAP) && left.is_over());
    }

    #[test]
    fn times_before_1970_are_negative() {
        assert_eq!(ms_since_1970(UNIX_EPOCH + Duration::from_millis(1500)), 1500);
        assert_eq!(ms_since_1970(UNIX_EPOCH - Duration::from_millis(1500)), -1500);
    }
}
