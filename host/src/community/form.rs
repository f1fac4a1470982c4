//! The form that signed texts share: a head of lines `field: value`, its signature, and bytes that the head names by
//! their hash. Each field has one place and one spelling, so that a text can be read in one way alone.
//!
//! What is signed is the head without its last line, from the first byte on. Its first line says what the text is for,
//! so that a signature for one purpose is of no use for another.

use crate::community::error::FormError;
use crate::community::key::{PrivateKey, PublicKey, Signature};
use crate::community::purpose::Purpose;
use crate::record::evidence::Evidence;
use crate::record::key::{ExperimentKey, Hash, Manifest};
use crate::system::sanitize;
use std::fmt::Display;
use std::str::FromStr;

/// Largest head in bytes.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
/// Most intervals of the evidence for a result.
const MOST_INTERVALS: usize = 64;
/// Characters of a stranger's line that an error repeats.
const REPEATED_CHARS: usize = 60;
/// The value of a field that has none.
pub const NONE: &str = "none";

/// A text that can be signed.
pub trait Form: Sized {
    const PURPOSE: Purpose;
    /// Largest file in bytes.
    const MAX_BYTES: usize;

    /// Writes the fields, in their order.
    fn write(&self, to: &mut Writer);

    /// Reads the fields, in their order.
    fn read(from: &mut Reader<'_>) -> Result<Self, FormError>;

    /// The bytes after the head.
    fn body(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes the bytes after the head, and checks them against it.
    fn take_body(self, body: &[u8], _by: &PublicKey) -> Result<Self, FormError> {
        match body.len() {
            0 => Ok(self),
            found => Err(FormError::Length { announced: 0, found: found as u64 }),
        }
    }
}

/// A text with its signature, which holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed<T> {
    pub text: T,
    /// Who signed it.
    pub by: PublicKey,
    signature: Signature,
}

impl<T: Form> Signed<T> {
    pub fn sign(text: T, key: &PrivateKey) -> Self {
        let by = key.public();
        let signature = key.sign(head(&text, &by).as_bytes());
        Self { text, by, signature }
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = head(&self.text, &self.by).into_bytes();
        bytes.extend(format!("{SIGNATURE}: {}\n\n", self.signature).bytes());
        bytes.extend(self.text.body());
        bytes
    }

    /// Reads a file, and refuses everything but the bytes that were signed.
    pub fn read(bytes: &[u8]) -> Result<Self, FormError> {
        if bytes.len() > T::MAX_BYTES {
            return Err(FormError::TooLong { purpose: T::PURPOSE, cap: T::MAX_BYTES });
        }
        if Purpose::of(bytes) != Some(T::PURPOSE) {
            return Err(FormError::Purpose(T::PURPOSE));
        }
        let start = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
        let end = start.windows(2).position(|pair| pair == b"\n\n").ok_or(FormError::NoEnd(MAX_HEAD_BYTES))?;
        let (head_bytes, body) = (&bytes[..=end], &bytes[end + 2..]);
        let text = std::str::from_utf8(head_bytes).map_err(|error| FormError::NotText(error.valid_up_to()))?;
        let mut reader = Reader { text, at: 0, line: 0, seen: Vec::new() };
        reader.next_line();
        let by: PublicKey = reader.value("by")?;
        let read = T::read(&mut reader)?;
        let signed = &text[..reader.at];
        let signature: Signature = reader.value(SIGNATURE)?;
        if reader.at != text.len() {
            return Err(FormError::AfterSignature { line: reader.line + 1 });
        }
        if head(&read, &by) != signed {
            return Err(FormError::Spelling);
        }
        let read = read.take_body(body, &by)?;
        if !by.has_signed(signed.as_bytes(), &signature) {
            return Err(FormError::Signature { by: by.to_string() });
        }
        Ok(Self { text: read, by, signature })
    }
}

const SIGNATURE: &str = "signature";

/// The bytes that are signed.
fn head<T: Form>(text: &T, by: &PublicKey) -> String {
    let mut to = Writer(format!("{}\n", T::PURPOSE.first_line()));
    to.field("by", by);
    text.write(&mut to);
    to.0
}

/// Writes the fields of a head.
pub struct Writer(String);

impl Writer {
    pub fn field(&mut self, name: &str, value: impl Display) {
        self.0 += &format!("{name}: {value}\n");
    }

    pub fn option(&mut self, name: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.field(name, value),
            None => self.field(name, NONE),
        }
    }

    /// The fields of [`Reader::evidence`].
    pub fn evidence(&mut self, evidence: Option<&Evidence>) {
        let list = |hashes: &[Hash]| hashes.iter().map(Hash::to_string).collect::<Vec<_>>().join(" ");
        let intervals = evidence.map(|evidence| list(&evidence.intervals)).filter(|list| !list.is_empty());
        self.option("experiment", evidence.map(Evidence::experiment));
        self.option("outcome", evidence.map(|evidence| evidence.outcome));
        self.option("probe-seed", evidence.map(|evidence| evidence.probe_seed));
        self.option("intervals", intervals);
        // A manifest is plain data, which JSON can always say.
        self.option("manifest", evidence.map(|evidence| serde_json::to_string(&evidence.manifest).unwrap_or_default()));
    }
}

/// Reads the fields of a head, in their order.
pub struct Reader<'a> {
    text: &'a str,
    /// Where the next line begins.
    at: usize,
    /// Number of the last line that was read.
    line: usize,
    seen: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn next_line(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let line = &rest[..rest.find('\n')?];
        self.at += line.len() + 1;
        self.line += 1;
        Some(line)
    }

    /// The value of the next field, which must have this name.
    pub fn field(&mut self, name: &'static str) -> Result<&'a str, FormError> {
        let line = self.next_line().ok_or(FormError::Missing(name))?;
        match line.split_once(": ") {
            Some((found, value)) if found == name => {
                self.seen.push(name);
                Ok(value)
            }
            Some((found, _)) if self.seen.contains(&found) => {
                Err(FormError::Twice { line: self.line, field: found.to_owned() })
            }
            _ => {
                let found = sanitize::line(line, REPEATED_CHARS);
                Err(FormError::Field { line: self.line, wanted: name, found })
            }
        }
    }

    pub fn value<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<T, FormError> {
        let value = self.field(name)?;
        self.parse(name, value)
    }

    pub fn option<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<Option<T>, FormError> {
        match self.field(name)? {
            NONE => Ok(None),
            value => self.parse(name, value).map(Some),
        }
    }

    fn parse<T: FromStr<Err: Display>>(&self, name: &'static str, value: &str) -> Result<T, FormError> {
        value.parse().map_err(|error: T::Err| self.wrong(name, error))
    }

    /// The error about the value that was read last.
    pub fn wrong(&self, field: &'static str, reason: impl Display) -> FormError {
        FormError::Value { line: self.line, field, reason: sanitize::line(&reason.to_string(), 2 * REPEATED_CHARS) }
    }

    /// The evidence for a result: all of it or nothing.
    pub fn evidence(&mut self) -> Result<Option<Evidence>, FormError> {
        let experiment: Option<ExperimentKey> = self.option("experiment")?;
        let outcome = self.option("outcome")?;
        let probe_seed = self.option("probe-seed")?;
        // A run that fails early has none.
        let intervals: Vec<Hash> = match self.field("intervals")? {
            NONE => Vec::new(),
            list => {
                let hashes: Result<Vec<Hash>, _> = list.split(' ').take(MOST_INTERVALS + 1).map(str::parse).collect();
                hashes.map_err(|error| self.wrong("intervals", error))?
            }
        };
        if intervals.len() > MOST_INTERVALS {
            return Err(self.wrong("intervals", format!("more than {MOST_INTERVALS} hashes")));
        }
        let manifest: Option<Manifest> = match self.field("manifest")? {
            NONE => None,
            json => Some(serde_json::from_str(json).map_err(|error| self.wrong("manifest", error))?),
        };
        match (experiment, outcome, probe_seed, manifest) {
            (Some(said), Some(outcome), Some(probe_seed), Some(manifest)) => {
                let found = manifest.key();
                if found != said {
                    return Err(FormError::Manifest { said, found });
                }
                Ok(Some(Evidence { manifest, outcome, probe_seed, intervals }))
            }
            (None, None, None, None) => Ok(None),
            _ => Err(self.wrong("manifest", "the fields of a result are there together, or all are `none`")),
        }
    }
}
