//! What another lab says that it tried without gain. Nobody checked it here. Plain data.

use crate::record::ending::Ending;
use crate::record::key::SourceKey;
use serde::Serialize;

/// A result without gain, as another lab tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hint {
    /// The public key of the lab.
    pub lab: String,
    pub source_key: SourceKey,
    pub ending: Ending,
    /// Difference to that lab's champion in bits per byte; negative is better.
    pub delta: Option<f64>,
    /// The change, in that lab's words.
    pub change: String,
}
