//! The secret by which a store chooses what it holds out. Its commitment is public at once, the secret itself when its
//! owner reveals it. Then anybody can check that the choice was made before, and make it again.

use crate::record::key::{Hash, SplitCommitment};
use std::fmt;
use std::io;

/// BLAKE3 key-derivation contexts: of the key that ranks text, and of the key that hides the hashes of splits.
const RANK_CONTEXT: &str = "host 2026 secret split rank v1";
const BLIND_CONTEXT: &str = "host 2026 secret split hash v1";

/// 32 random bytes. Its debug form shows the commitment alone.
#[derive(Clone, PartialEq, Eq)]
pub struct SplitSecret([u8; 32]);

/// Bytes that are no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no secret of a split: 64 lower-case hexadecimal digits are expected, as `host split reveal` prints them"
)]
pub struct NoSecret;

impl SplitSecret {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Draws one from the system's random numbers.
    pub fn draw() -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(bytes))
    }

    /// Reads the 32 bytes themselves, or their 64 digits.
    pub fn read(bytes: &[u8]) -> Result<Self, NoSecret> {
        if let Ok(bytes) = bytes.try_into() {
            return Ok(Self(bytes));
        }
        let digits = std::str::from_utf8(bytes).map_err(|_| NoSecret)?;
        digits.trim().parse::<Hash>().map(|hash| Self(hash.0)).map_err(|_| NoSecret)
    }

    /// The bytes, for the file that keeps them.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 digits. Whoever reads them knows what is held out.
    pub fn reveal(&self) -> String {
        Hash(self.0).to_string()
    }

    pub fn commitment(&self) -> SplitCommitment {
        SplitCommitment::of(&self.0)
    }

    /// The rank of a text: it decides to which split the text belongs.
    pub fn rank(&self, text: &[u8]) -> [u8; 32] {
        self.keyed(RANK_CONTEXT, text)
    }

    /// A hash that nobody can compare with the hashes of guessed splits.
    pub fn blind(&self, hash: &[u8; 32]) -> [u8; 32] {
        self.keyed(BLIND_CONTEXT, hash)
    }

    fn keyed(&self, context: &str, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&blake3::derive_key(context, &self.0), bytes).as_bytes()
    }
}

impl fmt::Debug for SplitSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SplitSecret({})", self.commitment().short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_vectors() {
        let secret = SplitSecret::new([7; 32]);
        let found = [secret.commitment().0, Hash(secret.rank(b"text")), Hash(secret.blind(&[1; 32]))];
        assert_eq!(
            found.map(|hash| hash.to_string()),
            [
                "121e1d6ef478765a5f0d2270ce3407cbb9ca042b4907b1f055444dc1b94791bc",
                "1c03515ff9ab7c282f0f0be1946cda38b5c3b1bc961b1c1c8da60d3625a7450d",
                "996c3aadd4bca99137a2e640f36b7c194b2f20ed4c7d2bb7bf9520290681f9b4",
            ]
        );
    }

    #[test]
    fn a_secret_is_read_as_bytes_or_digits_and_shown_as_neither() {
        let secret = SplitSecret::draw().unwrap();
        assert_ne!(secret, SplitSecret::draw().unwrap());
        for form in
            [secret.bytes().to_vec(), secret.reveal().into_bytes(), format!("{}\n", secret.reveal()).into_bytes()]
        {
            assert_eq!(SplitSecret::read(&form), Ok(secret.clone()));
        }
        for no in [&b""[..], &[1; 31], &[b'g'; 64], &[0xff; 64], &secret.reveal().as_bytes()[1..]] {
            assert_eq!(SplitSecret::read(no), Err(NoSecret));
        }
        assert!(!format!("{secret:?}").contains(&secret.reveal()[..12]));
    }
}
