//! What strangers and hosts send each other: signed texts that a person can read. A submission is one mutation, a claim
//! says what an experiment yields, a receipt answers a submission. May import `record` and `system`. No input and
//! output, but for the file of a key.
//!
//! Start with `form`, which holds what the three have in common: head, signature, and how strictly they are read.
//! `submission`, `claim` and `receipt` have their fields, `purpose` their first lines. `key` signs, `key_file` keeps a
//! private key. docs/community.md describes each field.

mod claim;
mod error;
mod form;
mod key;
mod key_file;
mod purpose;
mod receipt;
mod submission;
#[cfg(test)]
mod tests;

pub use claim::Claim;
pub use error::{ClaimFault, FormError};
pub use form::{Form, MAX_HEAD_BYTES, Signed};
pub use key::{ParseKeyError, PrivateKey, PublicKey, Signature};
pub use key_file::KeyFileError;
pub use purpose::Purpose;
pub use receipt::{ClaimStatus, Measure, Reason, Receipt, Rounded, Status};
pub use submission::{Content, LabelError, Licence, Name, Submission};
