//! Negatives: what a lab tried without gain, in few words, so that others need not spend runs on it.

use crate::community::error::FormError;
use crate::community::form::{Form, MAX_HEAD_BYTES, NONE, Reader, Writer};
use crate::community::key::PublicKey;
use crate::community::line::Line;
use crate::community::purpose::Purpose;
use crate::community::receipt::Rounded;
use crate::record::ending::Ending;
use crate::record::key::{ContextKey, Hash, SourceKey, TaskHash};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Most results in a file.
pub const MOST_NEGATIVES: usize = 100;
/// Largest list in bytes: the longest lines, in the longest characters.
const MAX_BODY_BYTES: usize = MOST_NEGATIVES * 1300;

/// Results without gain on the same terms, by the keys of their sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Negatives {
    pub task: TaskHash,
    /// The terms of the runs.
    pub context: ContextKey,
    pub found: BTreeMap<SourceKey, Negative>,
    announced: (Hash, u64),
}

/// One result without gain.
#[derive(Clone, Debug, PartialEq)]
pub struct Negative {
    pub ending: Ending,
    /// Difference to the champion, if it was measured; negative is better.
    pub delta: Option<Rounded>,
    pub change: Line,
}

impl Negatives {
    /// How what is told here ended.
    pub const ENDINGS: [Ending; 3] = [Ending::Discard, Ending::Noise, Ending::Failed];

    pub fn new(task: TaskHash, context: ContextKey, found: BTreeMap<SourceKey, Negative>) -> Self {
        let body = lines(&found);
        Self { task, context, announced: (Hash::of(body.as_bytes()), body.len() as u64), found }
    }

    /// Hash of the list.
    pub const fn list_hash(&self) -> Hash {
        self.announced.0
    }
}

fn lines(found: &BTreeMap<SourceKey, Negative>) -> String {
    let mut out = String::new();
    for (key, Negative { ending, delta, change }) in found {
        let delta = delta.map_or_else(|| NONE.to_owned(), |delta| delta.to_string());
        let _ = writeln!(out, "{key} {} {delta} {change}", ending.name());
    }
    out
}

fn line(text: &str) -> Option<(SourceKey, Negative)> {
    let mut parts = text.splitn(4, ' ');
    let (key, ending) = (parts.next()?.parse().ok()?, parts.next()?);
    let ending = Negatives::ENDINGS.into_iter().find(|known| known.name() == ending)?;
    let delta = match parts.next()? {
        NONE => None,
        delta => Some(delta.parse().ok()?),
    };
    Some((key, Negative { ending, delta, change: parts.next()?.parse().ok()? }))
}

impl Form for Negatives {
    const PURPOSE: Purpose = Purpose::Negatives;
    const MAX_BYTES: usize = MAX_HEAD_BYTES + MAX_BODY_BYTES;

    fn write(&self, to: &mut Writer) {
        to.field("task", self.task);
        to.field("context", self.context);
        to.field("content", self.announced.0);
        to.field("content-bytes", self.announced.1);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FormError> {
        let (task, context) = (from.value("task")?, from.value("context")?);
        let announced = (from.value("content")?, from.value("content-bytes")?);
        Ok(Self { task, context, found: BTreeMap::new(), announced })
    }

    fn body(&self) -> Vec<u8> {
        lines(&self.found).into_bytes()
    }

    fn take_body(mut self, body: &[u8], _by: &PublicKey) -> Result<Self, FormError> {
        let (said, announced) = self.announced;
        if announced != body.len() as u64 {
            return Err(FormError::Length { announced, found: body.len() as u64 });
        }
        let found = Hash::of(body);
        if found != said {
            return Err(FormError::Content { what: "list", said, found });
        }
        let text = std::str::from_utf8(body).map_err(|error| FormError::Source(error.valid_up_to()))?;
        let read: Option<BTreeMap<SourceKey, Negative>> = text.lines().take(MOST_NEGATIVES + 1).map(line).collect();
        self.found = read.filter(|read| read.len() <= MOST_NEGATIVES).ok_or(FormError::List)?;
        // The order and the spelling of lines, and that none is there twice.
        if lines(&self.found) == text { Ok(self) } else { Err(FormError::List) }
    }
}
