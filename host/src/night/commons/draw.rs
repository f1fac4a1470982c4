//! A draw that nobody can foresee, so that no lab decides what is read of a commons or run again.

use crate::night::commons::error::CommonsError;

pub struct Draw([u8; 32]);

impl Draw {
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, CommonsError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| CommonsError::Random(error.into()))?;
        Ok(Self(seed))
    }

    /// The place of something in the order of this draw.
    pub fn rank(&self, of: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, of).as_bytes()
    }
}
