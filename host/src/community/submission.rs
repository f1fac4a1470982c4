//! A submission: one mutation that a stranger sends, with its licence and where it came from.

use crate::community::claim::Claim;
use crate::community::error::{ClaimFault, FormError};
use crate::community::form::{Form, MAX_HEAD_BYTES, NONE, Reader, Signed, Writer};
use crate::community::key::PublicKey;
use crate::community::purpose::Purpose;
use crate::record::key::{Hash, TaskHash};
use crate::system::sanitize;
use spdx::{Expression, LicenseReq, ParseMode};
use std::fmt;
use std::str::FromStr;

/// Largest source in bytes, as the parser of sources has it.
pub const MAX_SOURCE_BYTES: usize = 256 << 10;
/// Largest component in bytes, as the check of components has it.
pub const MAX_COMPONENT_BYTES: usize = 32 << 20;
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

impl Licence {
    /// Whether it lets others change the work and pass the result on: licences of SPDX's list that the OSI has approved
    /// or the FSF calls free.
    pub fn allows_changes(&self) -> bool {
        let mode = ParseMode { allow_deprecated: true, allow_postfix_plus_on_gpl: true, ..ParseMode::STRICT };
        let is_free = |one: &LicenseReq| {
            let is_exception = one.addition.as_ref().is_none_or(|addition| addition.id().is_some());
            is_exception && one.license.id().is_some_and(|id| id.is_osi_approved() || id.is_fsf_free_libre())
        };
        Expression::parse_mode(&self.0, mode).is_ok_and(|expression| expression.evaluate(is_free))
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

/// What is sent to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One Rust file.
    Source(String),
    /// Bytes that are said to be a component.
    Component(Vec<u8>),
}

impl Content {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Source(text) => text.as_bytes(),
            Self::Component(bytes) => bytes,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Source(_) => Kind::Source,
            Self::Component(_) => Kind::Component,
        }
    }
}

/// Kinds of content, as heads have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Source,
    Component,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Source, Self::Component];

    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Component => "component",
        }
    }

    fn max_bytes(self) -> usize {
        match self {
            Self::Source => MAX_SOURCE_BYTES,
            Self::Component => MAX_COMPONENT_BYTES,
        }
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
    pub content: Content,
    pub claim: Option<Signed<Claim>>,
    announced: Announced,
}

/// What a head says of the bytes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced {
    kind: Kind,
    content: Hash,
    content_bytes: u64,
    claim: Option<Hash>,
    claim_bytes: u64,
}

impl Submission {
    pub fn new(task: TaskHash, name: Name, content: Content) -> Self {
        let announced = Announced {
            kind: content.kind(),
            content: Hash::of(content.bytes()),
            content_bytes: content.bytes().len() as u64,
            claim: None,
            claim_bytes: 0,
        };
        Self { task, name, licence: None, parent: None, content, claim: None, announced }
    }

    /// With a claim about what this content yields.
    #[must_use]
    pub fn with_claim(mut self, claim: Signed<Claim>) -> Self {
        let bytes = claim.to_bytes();
        (self.announced.claim, self.announced.claim_bytes) = (Some(Hash::of(&bytes)), bytes.len() as u64);
        self.claim = Some(claim);
        self
    }
}

impl Form for Submission {
    const PURPOSE: Purpose = Purpose::Submission;
    const MAX_BYTES: usize = MAX_HEAD_BYTES + MAX_COMPONENT_BYTES + Claim::MAX_BYTES;

    fn write(&self, to: &mut Writer) {
        let Announced { kind, content, content_bytes, claim, claim_bytes } = self.announced;
        to.field("task", self.task);
        to.field("name", &self.name);
        to.option("licence", self.licence.as_ref());
        to.option("parent", self.parent);
        to.field("kind", kind.name());
        to.field("content", content);
        to.field("content-bytes", content_bytes);
        to.option("claim", claim);
        to.field("claim-bytes", claim_bytes);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FormError> {
        let task = from.value("task")?;
        let name = from.value("name")?;
        let licence = from.option("licence")?;
        let parent = from.option("parent")?;
        let kind = from.field("kind")?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
        let kind = kind.ok_or_else(|| from.wrong("kind", "`source` or `component` is expected"))?;
        let content = from.value("content")?;
        let content_bytes = from.value("content-bytes")?;
        if content_bytes > kind.max_bytes() as u64 {
            return Err(from.wrong("content-bytes", format!("at most {} are allowed", kind.max_bytes())));
        }
        let (claim, claim_bytes) = (from.option("claim")?, from.value("claim-bytes")?);
        let announced = Announced { kind, content, content_bytes, claim, claim_bytes };
        // The content comes with the body.
        let content = Content::Component(Vec::new());
        Ok(Self { task, name, licence, parent, content, claim: None, announced })
    }

    fn body(&self) -> Vec<u8> {
        let claim = self.claim.as_ref().map(Signed::to_bytes).unwrap_or_default();
        [self.content.bytes(), &claim].concat()
    }

    fn take_body(mut self, body: &[u8], by: &PublicKey) -> Result<Self, FormError> {
        let Announced { kind, content: said, content_bytes, claim, claim_bytes } = self.announced;
        let (announced, found) = (content_bytes.saturating_add(claim_bytes), body.len() as u64);
        if announced != found {
            return Err(FormError::Length { announced, found });
        }
        // Not more than the body, which is in memory.
        let (content, after) = body.split_at(content_bytes as usize);
        let check = |what, said, bytes: &[u8]| match Hash::of(bytes) {
            found if found == said => Ok(()),
            found => Err(FormError::Content { what, said, found }),
        };
        check(kind.name(), said, content)?;
        self.content = match (kind, content.to_vec()) {
            (Kind::Component, bytes) => Content::Component(bytes),
            (Kind::Source, bytes) => Content::Source(
                String::from_utf8(bytes).map_err(|error| FormError::Source(error.utf8_error().valid_up_to()))?,
            ),
        };
        match claim {
            None if after.is_empty() => Ok(self),
            None => Err(FormError::Length { announced: content_bytes, found }),
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
