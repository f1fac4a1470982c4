//! A submission: one mutation that a stranger sends, with its licence and where it came from.

use crate::community::claim::Claim;
use crate::community::error::{ClaimFault, FormError};
use crate::community::form::{Form, MAX_HEAD_BYTES, NONE, Reader, Signed, Writer};
use crate::community::key::PublicKey;
use crate::community::purpose::Purpose;
use crate::record::key::{Hash, TaskHash};
use crate::system::sanitize;
use std::fmt;
use std::str::FromStr;

/// Largest source in bytes, as the parser of sources has it.
pub const MAX_CONTENT_BYTES: usize = 256 << 10;
/// Longest name in characters.
const MAX_NAME_CHARS: usize = 80;
/// Longest licence in characters.
const MAX_LICENCE_CHARS: usize = 80;

/// One line that names a submission for people. It has no characters that act: see [`sanitize::printable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// A licence as an SPDX expression: `MIT`, `Apache-2.0 OR MIT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence(String);

/// Text that is not a name or a licence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("a name is one line of 1 to {MAX_NAME_CHARS} characters, without spaces at its ends")]
    Name,
    #[error("a name has no control characters, and none that are invisible or turn text around")]
    Acts,
    #[error(
        "a licence is an SPDX expression of at most {MAX_LICENCE_CHARS} letters, digits, spaces and `.-+()`, such as `MIT`"
    )]
    Licence,
}

impl FromStr for Name {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        if text.is_empty() || text.chars().count() > MAX_NAME_CHARS || text.trim() != text {
            return Err(LabelError::Name);
        }
        if text.contains('\t') || text.contains('\n') || sanitize::printable(text) != text {
            return Err(LabelError::Acts);
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Licence {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " .-+()".contains(c);
        let fits = (1..=MAX_LICENCE_CHARS).contains(&text.len()) && text.trim() == text && text != NONE;
        if fits && text.chars().all(is_plain) { Ok(Self(text.to_owned())) } else { Err(LabelError::Licence) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The task that it is for. An inbox for another task does not try it.
    pub task: TaskHash,
    pub name: Name,
    pub licence: Option<Licence>,
    /// Hash of the source that it was made from, if its author says so.
    pub parent: Option<Hash>,
    /// The source: one Rust file.
    pub source: String,
    pub claim: Option<Signed<Claim>>,
    announced: Announced,
}

/// What a head says of the bytes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced {
    source: Hash,
    source_bytes: u64,
    claim: Option<Hash>,
    claim_bytes: u64,
}

impl Submission {
    pub fn new(task: TaskHash, name: Name, source: String) -> Self {
        let announced = Announced {
            source: Hash::of(source.as_bytes()),
            source_bytes: source.len() as u64,
            claim: None,
            claim_bytes: 0,
        };
        Self { task, name, licence: None, parent: None, source, claim: None, announced }
    }

    /// With a claim about what this source yields.
    #[must_use]
    pub fn with_claim(mut self, claim: Signed<Claim>) -> Self {
        let bytes = claim.to_bytes();
        (self.announced.claim, self.announced.claim_bytes) = (Some(Hash::of(&bytes)), bytes.len() as u64);
        self.claim = Some(claim);
        self
    }

    /// Hash of the source.
    pub fn source_hash(&self) -> Hash {
        self.announced.source
    }
}

impl Form for Submission {
    const PURPOSE: Purpose = Purpose::Submission;
    const MAX_BYTES: usize = MAX_HEAD_BYTES + MAX_CONTENT_BYTES + Claim::MAX_BYTES;

    fn write(&self, to: &mut Writer) {
        let Announced { source, source_bytes, claim, claim_bytes } = self.announced;
        to.field("task", self.task);
        to.field("name", &self.name);
        to.option("licence", self.licence.as_ref());
        to.option("parent", self.parent);
        to.field("kind", SOURCE);
        to.field("content", source);
        to.field("content-bytes", source_bytes);
        to.option("claim", claim);
        to.field("claim-bytes", claim_bytes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FormError> {
        let task = from.value("task")?;
        let name = from.value("name")?;
        let licence = from.option("licence")?;
        let parent = from.option("parent")?;
        match from.field("kind")? {
            SOURCE => {}
            COMPONENT => return Err(FormError::Component),
            _ => return Err(from.wrong("kind", "`source` is expected")),
        }
        let source = from.value("content")?;
        let source_bytes = from.value("content-bytes")?;
        if source_bytes > MAX_CONTENT_BYTES as u64 {
            return Err(from.wrong("content-bytes", format!("at most {MAX_CONTENT_BYTES} are allowed")));
        }
        let announced =
            Announced { source, source_bytes, claim: from.option("claim")?, claim_bytes: from.value("claim-bytes")? };
        Ok(Self { task, name, licence, parent, source: String::new(), claim: None, announced })
    }

    fn body(&self) -> Vec<u8> {
        let claim = self.claim.as_ref().map(Signed::to_bytes).unwrap_or_default();
        [self.source.as_bytes(), &claim].concat()
    }

    fn take_body(mut self, body: &[u8], by: &PublicKey) -> Result<Self, FormError> {
        let Announced { source, source_bytes, claim, claim_bytes } = self.announced;
        let (announced, found) = (source_bytes.saturating_add(claim_bytes), body.len() as u64);
        if announced != found {
            return Err(FormError::Length { announced, found });
        }
        // Not more than the body, which is in memory.
        let (content, after) = body.split_at(source_bytes as usize);
        let check = |what, said, bytes: &[u8]| match Hash::of(bytes) {
            found if found == said => Ok(()),
            found => Err(FormError::Content { what, said, found }),
        };
        check("source", source, content)?;
        let text = String::from_utf8(content.to_vec());
        self.source = text.map_err(|error| FormError::Source(error.utf8_error().valid_up_to()))?;
        match claim {
            None if after.is_empty() => Ok(self),
            None => Err(FormError::Length { announced: source_bytes, found }),
            Some(said) => {
                check("claim", said, after)?;
                let unreadable = |error| FormError::Claim(ClaimFault::Unreadable(Box::new(error)));
                let claim: Signed<Claim> = Signed::read(after).map_err(unreadable)?;
                if claim.by != *by {
                    return Err(FormError::Claim(ClaimFault::OtherKey));
                }
                if claim.text.evidence.manifest.task != self.task {
                    return Err(FormError::Claim(ClaimFault::OtherTask));
                }
                self.claim = Some(claim);
                Ok(self)
            }
        }
    }
}

const SOURCE: &str = "source";
const COMPONENT: &str = "component";
