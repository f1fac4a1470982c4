//! What strangers and hosts send each other: signed texts that a person can read. A submission is one mutation, a claim
//! says what an experiment yields, a receipt answers a submission. A finding is a kept mutation with its claim, and
//! negatives are what was tried without gain; both are for everybody. May import `record` and `system`. No input and
//! output, but for the file of a key.
//!
//! Start with `form`, which holds what they have in common: head, signature, and how strictly they are read.
//! `submission`, `claim`, `receipt`, `finding` and `negatives` have their fields, `purpose` their first lines; `fit`
//! compares a receipt with its submission and its run. `page`
//! is how a finding is shown. `key` signs, `key_file` keeps a private key. docs/community.md and docs/commons.md
//! describe each field.

mod claim;
mod error;
mod finding;
mod fit;
mod form;
mod key;
mod key_file;
mod line;
mod negatives;
mod page;
mod purpose;
mod receipt;
mod submission;
#[cfg(test)]
mod tests;

pub use claim::Claim;
pub use error::{ClaimFault, FormError};
pub use finding::{Credits, CreditsError, Finding, Owed};
pub use fit::Ran;
pub use form::{Form, MAX_HEAD_BYTES, NONE, Reader, Signed, Writer};
pub use key::{ParseKeyError, PrivateKey, PublicKey, Signature};
pub use key_file::KeyFileError;
pub use line::Line;
pub use negatives::{MOST_NEGATIVES, Negative, Negatives};
pub use page::{LABS, MAX_PAGE_BYTES, PAGE, SOURCE};
pub use purpose::Purpose;
pub use receipt::{ClaimStatus, Measure, Receipt, Rounded, Status};
pub use submission::{Content, LabelError, Licence, Name, Submission};
