//! Ed25519 keys and signatures. Their text is hexadecimal, in lower case.

use crate::record::key::Hash;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use std::fmt;
use std::io;
use std::str::FromStr;

/// Who signed: 32 bytes of a public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

/// A key that signs. It has no debug form, and its bytes are overwritten when it is dropped.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// Text that is not a key or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{digits} lower-case hexadecimal digits are expected")]
pub struct ParseKeyError {
    digits: usize,
}

impl PrivateKey {
    /// Draws one from the system's random numbers.
    pub fn draw() -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Self::of_seed(&seed))
    }

    /// The key of 32 secret bytes.
    pub fn of_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 64 digits of the secret bytes, for the file that keeps them.
    pub fn reveal(&self) -> String {
        Hash(self.0.to_bytes()).to_string()
    }

    /// The secret bytes, for another form of the same key.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Reads those digits.
    pub fn read(digits: &str) -> Result<Self, ParseKeyError> {
        digits.parse::<Hash>().map(|seed| Self::of_seed(&seed.0)).map_err(|_| ParseKeyError { digits: 64 })
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl PublicKey {
    /// Whether this key signed the message. Keys of small order and other spellings of a signature are refused.
    pub fn has_signed(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> String {
        Hash(self.0).short()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hash(self.0).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        text.parse::<Hash>().map(|hash| Self(hash.0)).map_err(|_| ParseKeyError { digits: 64 })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Signature {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let half = |digits: Option<&str>| digits.and_then(|digits| digits.parse::<Hash>().ok());
        match (text.len(), half(text.get(..64)), half(text.get(64..))) {
            (128, Some(first), Some(second)) => {
                let mut bytes = [0; 64];
                bytes[..32].copy_from_slice(&first.0);
                bytes[32..].copy_from_slice(&second.0);
                Ok(Self(bytes))
            }
            _ => Err(ParseKeyError { digits: 128 }),
        }
    }
}
