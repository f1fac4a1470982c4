//! A digest: the name of a piece of work and the hash of all its results.

use kernels::encode::{encode_spec, encode_values};
use kernels::spec::{Spec, Values};
use std::fmt;

/// The results of one piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Names the work.
    pub name: String,
    /// blake3 of the results, NaN canonical.
    pub hash: blake3::Hash,
}

impl Digest {
    /// The digest of results.
    pub fn new(name: String, results: &[(Spec, Values)]) -> Self {
        let mut bytes = Vec::new();
        for (spec, values) in results {
            encode_spec(&mut bytes, spec);
            encode_values(&mut bytes, values);
        }
        Self { name, hash: blake3::hash(&bytes) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.hash, self.name)
    }
}
