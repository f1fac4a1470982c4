//! Why a signed text is refused.

use crate::community::purpose::Purpose;
use crate::record::key::{ExperimentKey, Hash};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("it has more than {cap} bytes, which is the limit of a {}", .purpose.name())]
    TooLong { purpose: Purpose, cap: usize },
    #[error("it does not begin with `{}`: it is not a {}, or one of another version", .0.first_line(), .0.name())]
    Purpose(Purpose),
    #[error("it does not begin with the name of a submission, a claim, a receipt or a finding")]
    NoPurpose,
    #[error("its head does not end within {0} bytes: it is cut off, or something else")]
    NoEnd(usize),
    #[error("its head is not UTF-8: byte {0} is wrong")]
    NotText(usize),
    #[error("its head ends before the field `{0}`: it is cut off")]
    Missing(&'static str),
    #[error("line {line}: the field `{field}` is there twice")]
    Twice { line: usize, field: String },
    #[error("line {line}: `{wanted}: …` is expected here, not `{found}`")]
    Field {
        line: usize,
        wanted: &'static str,
        /// The start of the line, escaped.
        found: String,
    },
    #[error("line {line}: the value of `{field}` does not read: {reason}")]
    Value { line: usize, field: &'static str, reason: String },
    #[error("its head is not written in the one form that it has: a number, a list or a space is spelled differently")]
    Spelling,
    #[error("line {line}: something follows the signature")]
    AfterSignature { line: usize },
    #[error("{found} bytes follow its head, and it announces {announced}: it is cut off, or something was added")]
    Length { announced: u64, found: u64 },
    #[error("its {what} was changed: the bytes have the hash {found}, and its head says {said}")]
    Content { what: &'static str, said: Hash, found: Hash },
    #[error("its list is not written in the one form that it has, or is too long")]
    List,
    #[error("byte {at} of its page is not the one that follows from what is signed: it was changed")]
    Page { at: usize },
    #[error("its source is not UTF-8: byte {0} is wrong")]
    Source(usize),
    #[error("its signature is not by the key {by}: it was changed after it was signed, or it is forged")]
    Signature {
        /// The key that it names.
        by: String,
    },
    #[error("the experiment is {said}, and its manifest is that of {found}")]
    Manifest { said: ExperimentKey, found: ExperimentKey },
    #[error("its claim is {0}")]
    Claim(ClaimFault),
}

/// What is wrong with the claim of a submission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    #[error("signed by another key than the submission")]
    OtherKey,
    #[error("about another task than the submission")]
    OtherTask,
    #[error("unreadable: {0}")]
    Unreadable(Box<FormError>),
}
