//! What an op costs on the reference device: integers from shapes and dtypes alone.

use serde::{Deserialize, Serialize};

/// A reference device's speed: what defines budget time. All integers. Stored as TOML under `policies/profiles/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, as in the file's.
    pub name: String,
    /// Rates by class of op, see `Class`.
    pub classes: Vec<Rate>,
}

/// Speed of one class of op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Class name.
    pub class: String,
    /// Megaflops per second.
    pub mflops: u64,
    /// Bytes per microsecond.
    pub bytes_per_us: u64,
    /// Picoseconds per op.
    pub overhead_ps: u64,
}
