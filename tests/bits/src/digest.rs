//! A digest: the name of a piece of work and the hash of all its results.

use kernels::encode::{encode_spec, encode_values};
use kernels::fault::Fault;
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
    /// Of results, or of the fault that they ended with.
    pub fn new(name: String, results: Result<Vec<(Spec, Values)>, Fault>) -> Self {
        let mut bytes = Vec::new();
        match results {
            Ok(results) => {
                for (spec, values) in &results {
                    encode_spec(&mut bytes, spec);
                    encode_values(&mut bytes, values);
                }
            }
            Err(fault) => bytes.extend_from_slice(fault.to_string().as_bytes()),
        }
        Self { name, hash: blake3::hash(&bytes) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.hash, self.name)
    }
}
