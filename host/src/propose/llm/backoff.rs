//! Computes the wait before the next try. The jitter comes from the system, so that several nights do not return to one
//! server at the same time. It affects no result.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime};

/// The wait before try `next` (the first try is 1, so `next` is at least 2): exponential, with jitter from half to all
/// of it.
pub(super) fn wait(first: Duration, longest: Duration, next: u32) -> Duration {
    let doubled = first.saturating_mul(1 << next.saturating_sub(2).min(20)).min(longest);
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    doubled.mul_f64(0.5 + 0.5 * random)
}

/// The wait that a Retry-After header asks for, as seconds or a date.
pub(super) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(if seconds < 0.0 { 0.0 } else { seconds }).ok();
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The wait that a `retry-after-ms` header asks for.
pub(super) fn milliseconds(header: &str) -> Option<Duration> {
    let milliseconds = header.trim().parse::<f64>().ok()?;
    Duration::try_from_secs_f64(milliseconds.max(0.0) / 1e3).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(5));
        for (next, whole) in [(2, 1.0), (3, 2.0), (4, 4.0), (5, 5.0), (60, 5.0)] {
            for _ in 0..20 {
                let seconds = wait(first, longest, next).as_secs_f64();
                assert!((whole / 2.0..=whole).contains(&seconds), "{next}: {seconds}");
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(retry_after("17", now), Some(Duration::from_secs(17)));
        assert_eq!(retry_after(" 0.5 ", now), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        for bad in ["soon", "", "NaN", "inf", "1e40"] {
            assert_eq!(retry_after(bad, now), None, "{bad}");
        }
        assert_eq!(retry_after("-5", now), Some(Duration::ZERO));
        assert_eq!(milliseconds(" 300 "), Some(Duration::from_millis(300)));
        assert_eq!([milliseconds("soon"), milliseconds("inf")], [None, None]);
    }
}
