//! How much strangers may send, and how much of it is tried.

use crate::system::clock::DAY_MS;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Quotas of an inbox. A day is one of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Submissions that an inbox takes of one key in a day.
    pub submissions_per_day: u64,
    /// Bytes of submissions that an inbox takes of one key in a day.
    pub bytes_per_day: u64,
    /// Seconds of budget that are trained for one key in a day. A trial that trained nothing, because it was refused or
    /// the host could not finish it, counts with the time that it took. When they are used up, its submissions wait for
    /// the next day. A trial that was begun goes on to its end.
    pub seconds_per_day: f64,
    /// Submissions that may wait at the same time, of all keys together.
    pub waiting: u64,
    /// Bytes of the submissions that wait at the same time, of all keys together.
    pub waiting_bytes: u64,
    /// Whether `--device cuda` runs what strangers wrote. The driver of a GPU is a hole in the second wall.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gpu: bool,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            submissions_per_day: 20,
            bytes_per_day: 64_000_000,
            seconds_per_day: 1800.0,
            waiting: 1000,
            waiting_bytes: 1_000_000_000,
            gpu: false,
        }
    }
}

impl Quotas {
    /// When the day of this time began, in Unix milliseconds.
    pub fn day(unix_ms: i64) -> i64 {
        unix_ms - unix_ms.rem_euclid(DAY_MS)
    }

    /// [`Self::seconds_per_day`] in picoseconds.
    pub fn ps_per_day(&self) -> u64 {
        (self.seconds_per_day * 1e12) as u64
    }
}
