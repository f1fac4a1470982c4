//! A finding: a kept mutation with its claim, for others to use. Its source is a file beside it.

use crate::community::error::FormError;
use crate::community::form::{Form, MAX_HEAD_BYTES, NONE, Reader, Writer};
use crate::community::key::PublicKey;
use crate::community::line::Line;
use crate::community::purpose::Purpose;
use crate::community::receipt::Rounded;
use crate::community::submission::{Licence, MAX_SOURCE_BYTES};
use crate::record::evidence::Evidence;
use crate::record::key::{Hash, TaskHash};
use std::fmt;
use std::str::FromStr;

/// Most people whom a finding may be owed to.
const MOST_CREDITS: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What was changed of the parent.
    pub change: Line,
    /// What its author hoped for.
    pub hypothesis: Line,
    pub licence: Option<Licence>,
    /// Who wrote the mutation: the lab itself, or who sent it there.
    pub author: PublicKey,
    /// Hash of the source that was changed.
    pub parent: Hash,
    /// To whom it is owed besides the lab, oldest first.
    pub credits: Credits,
    /// Hash of the source.
    pub source: Hash,
    pub source_bytes: u64,
    /// Bits per byte of the run below on the search split.
    pub bpb: f64,
    /// Difference to the champion of that time, over some random seeds; negative is better.
    pub delta: Option<Rounded>,
    pub p_better: Option<Rounded>,
    /// Number of these random seeds.
    pub pairs: Option<u32>,
    /// Its run on the first random seed.
    pub evidence: Evidence,
}

/// Somebody whom a finding is owed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    pub author: PublicKey,
    /// Hash of the submission or finding that this author's work came in.
    pub file: Hash,
    pub licence: Option<Licence>,
}

/// People whom a finding is owed to, none of them twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credits(Vec<Owed>);

/// Why a list of credits is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreditsError {
    #[error("it goes back to more than {MOST_CREDITS} files of others, which is the limit")]
    TooMany,
    #[error("a file is there twice")]
    Twice,
    #[error("`KEY HASH LICENCE`, with `; ` between them, is expected")]
    Unreadable,
}

impl Credits {
    pub fn new(owed: Vec<Owed>) -> Result<Self, CreditsError> {
        if owed.len() > MOST_CREDITS {
            return Err(CreditsError::TooMany);
        }
        let is_again = |(at, one): (usize, &Owed)| owed[..at].iter().any(|before| before.file == one.file);
        if owed.iter().enumerate().any(is_again) { Err(CreditsError::Twice) } else { Ok(Self(owed)) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Owed> {
        self.0.iter()
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NONE);
        }
        let words = |Owed { author, file, licence }: &Owed| {
            let licence = licence.as_ref().map_or_else(|| NONE.to_owned(), ToString::to_string);
            format!("{author} {file} {licence}")
        };
        f.write_str(&self.0.iter().map(words).collect::<Vec<_>>().join("; "))
    }
}

impl FromStr for Credits {
    type Err = CreditsError;

    fn from_str(text: &str) -> Result<Self, CreditsError> {
        if text == NONE {
            return Ok(Self::default());
        }
        let one = |text: &str| {
            let (author, rest) = text.split_once(' ')?;
            let (file, licence) = rest.split_once(' ')?;
            let licence = if licence == NONE { None } else { Some(licence.parse().ok()?) };
            Some(Owed { author: author.parse().ok()?, file: file.parse().ok()?, licence })
        };
        let all: Option<Vec<Owed>> = text.split("; ").take(MOST_CREDITS + 1).map(one).collect();
        Self::new(all.ok_or(CreditsError::Unreadable)?)
    }
}

impl Finding {
    /// Checks the file beside it.
    pub fn check_source(&self, bytes: &[u8]) -> Result<(), FormError> {
        match Hash::of(bytes) {
            found if found == self.source && bytes.len() as u64 == self.source_bytes => Ok(()),
            found => Err(FormError::Content { what: "source", said: self.source, found }),
        }
    }
}

impl Form for Finding {
    const PURPOSE: Purpose = Purpose::Finding;
    const MAX_BYTES: usize = MAX_HEAD_BYTES;

    fn write(&self, to: &mut Writer) {
        to.field("task", self.evidence.manifest.task);
        to.field("change", &self.change);
        to.field("hypothesis", &self.hypothesis);
        to.option("licence", self.licence.as_ref());
        to.field("author", self.author);
        to.field("parent", self.parent);
        to.field("credits", &self.credits);
        to.field("content", self.source);
        to.field("content-bytes", self.source_bytes);
        to.field("bpb", self.bpb);
        to.option("delta", self.delta);
        to.option("p-better", self.p_better);
        to.option("random-seeds", self.pairs);
        to.evidence(Some(&self.evidence));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FormError> {
        let task: TaskHash = from.value("task")?;
        let (change, hypothesis) = (from.value("change")?, from.value("hypothesis")?);
        let (licence, author) = (from.option("licence")?, from.value("author")?);
        let (parent, credits) = (from.value("parent")?, from.value("credits")?);
        let (source, source_bytes) = (from.value("content")?, from.value("content-bytes")?);
        if source_bytes > MAX_SOURCE_BYTES as u64 {
            return Err(from.wrong("content-bytes", format!("at most {MAX_SOURCE_BYTES} are allowed")));
        }
        if parent == source {
            return Err(from.wrong("content", "it is its own parent"));
        }
        let bpb: f64 = from.value("bpb")?;
        if !bpb.is_finite() || bpb <= 0.0 {
            return Err(from.wrong("bpb", "a finite number above 0 is expected"));
        }
        let (delta, p_better, pairs) = (from.option("delta")?, from.option("p-better")?, from.option("random-seeds")?);
        let evidence = from.evidence()?.ok_or_else(|| from.wrong("manifest", "a finding has an experiment"))?;
        if evidence.manifest.task != task {
            return Err(from.wrong("manifest", "its experiment is on another task than the finding"));
        }
        Ok(Self {
            change,
            hypothesis,
            licence,
            author,
            parent,
            credits,
            source,
            source_bytes,
            bpb,
            delta,
            p_better,
            pairs,
            evidence,
        })
    }
}
