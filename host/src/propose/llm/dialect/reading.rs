//! Code that both dialects share: the answer while it is read, and a server's refusals.

use crate::propose::llm::config::{Dialect, ModelConfig};
use crate::propose::llm::dialect::complaint::{Complaint, SAID_CHARS};
use crate::propose::llm::error::AskError;
use crate::system::sanitize;
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

/// Longest text of an answer in bytes. The longest source is a quarter of it.
pub(in crate::propose::llm) const MAX_TEXT_BYTES: usize = 1 << 20;

/// A piece of this length that is repeated at the start of the next one shows that each piece has the whole answer so
/// far.
const REPEATED_BYTES: usize = 16;

/// A model's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub text: String,
    /// Tokens of the prompt, as the server counted them.
    pub tokens_in: Option<u64>,
    /// Tokens of the answer, as the server counted them.
    pub tokens_out: Option<u64>,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// The answer is complete.
    Whole,
    /// The answer was cut at the token limit.
    Cut,
    /// The server's context was full.
    ContextFull,
    /// The model, or a filter, declined.
    Declined,
    /// The server gave up.
    Failed,
}

/// How the pieces of an answer follow on each other.
#[derive(Debug, Default, PartialEq, Eq)]
enum Flow {
    /// Every piece so far began with the one before, which is this.
    Growing(String),
    /// Each piece has the whole answer so far.
    Whole,
    /// Each piece goes on where the last one ended.
    #[default]
    Parts,
}

/// An answer while it is read.
#[derive(Debug, Default)]
pub(in crate::propose::llm) struct Reading {
    text: String,
    flow: Option<Flow>,
    /// There were thoughts.
    pub(super) thought: bool,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub(super) finish: Option<Finish>,
    pub(super) ended: bool,
}

/// A turn of a conversation, in either dialect.
#[derive(Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: &'static str,
    pub(super) content: Cow<'a, str>,
}

impl Reading {
    /// Whether the whole answer arrived. Some servers close the stream without its last event.
    pub fn is_complete(&self) -> bool {
        self.ended || self.finish.is_some()
    }

    /// Bytes of text so far.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The answer, or the error that it amounts to.
    pub fn finish(self, config: &ModelConfig) -> Result<Response, AskError> {
        let limit = config.max_output_tokens;
        match self.finish {
            _ if !self.is_complete() => Err(AskError::Truncated),
            // Messages has another reason for a full context.
            Some(Finish::Cut) if config.dialect == Dialect::Openai && self.ends_before(limit) => {
                Err(self.context_full())
            }
            Some(Finish::Cut) => Err(AskError::Cut { limit }),
            Some(Finish::ContextFull) => Err(self.context_full()),
            Some(Finish::Declined) => Err(AskError::Declined),
            Some(Finish::Failed) => {
                Err(AskError::Busy { said: "it gave up within the answer".into(), retry_after: None })
            }
            Some(Finish::Whole) | None if self.text.trim().is_empty() => {
                Err(if self.thought { AskError::OnlyThoughts } else { AskError::Empty })
            }
            Some(Finish::Whole) | None => {
                Ok(Response { text: self.text, tokens_in: self.tokens_in, tokens_out: self.tokens_out })
            }
        }
    }

    /// Whether the answer was cut clearly before its own limit, as the server counted. Counts differ by a few tokens.
    fn ends_before(&self, limit: u64) -> bool {
        self.tokens_out.is_some_and(|tokens| tokens > 0 && tokens < limit - limit / 16)
    }

    fn context_full(&self) -> AskError {
        let count = |tokens: Option<u64>| tokens.map_or("?".into(), |tokens| tokens.to_string());
        let (prompt, answer) = (count(self.tokens_in), count(self.tokens_out));
        let said = format!("a prompt of {prompt} tokens, and an answer that was cut after {answer}");
        AskError::Context { said }
    }

    /// Takes the next piece of the answer.
    pub(super) fn say(&mut self, piece: &str) -> Result<(), AskError> {
        if piece.is_empty() {
            return Ok(());
        }
        self.flow = Some(match self.flow.take() {
            None => Flow::Growing(piece.to_owned()),
            Some(Flow::Growing(last)) if piece.len() > last.len() && piece.starts_with(&last) => {
                if last.len() >= REPEATED_BYTES { Flow::Whole } else { Flow::Growing(piece.to_owned()) }
            }
            Some(Flow::Growing(_) | Flow::Parts) => Flow::Parts,
            Some(Flow::Whole) => Flow::Whole,
        });
        if self.flow == Some(Flow::Whole) {
            self.text.clear();
        }
        self.push(piece)
    }

    /// Takes an answer that may be whole, or go on where the last piece ended.
    pub(super) fn say_whole(&mut self, text: &str) -> Result<(), AskError> {
        if text.starts_with(&self.text) || text.trim() == self.text.trim() {
            self.text.clear();
        }
        self.push(text)
    }

    fn push(&mut self, text: &str) -> Result<(), AskError> {
        if self.text.len().saturating_add(text.len()) > MAX_TEXT_BYTES {
            return Err(AskError::TooLarge { what: "text", limit: MAX_TEXT_BYTES });
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// The error for an unsuccessful status and its body.
pub(in crate::propose::llm) fn refusal(status: u16, body: &[u8], retry_after: Option<Duration>) -> AskError {
    let complaint = serde_json::from_slice(body).ok().and_then(|value| Complaint::of(&value));
    let complaint = complaint.unwrap_or_else(|| Complaint::of_words(&String::from_utf8_lossy(body)));
    complaint.classify(Some(status), retry_after)
}

/// Reads an optional part of an answer. A part that does not match the dialect counts as missing.
pub(super) fn lenient<'de, T: DeserializeOwned, D: Deserializer<'de>>(part: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(part)?).ok())
}

/// Reads JSON that is not a complaint. The error names the place that does not match.
pub(super) fn part<T: DeserializeOwned>(value: Value) -> Result<T, AskError> {
    match Complaint::of(&value) {
        Some(complaint) => Err(complaint.classify(None, None)),
        None => serde_json::from_value(value).map_err(malformed),
    }
}

pub(super) fn malformed(error: serde_json::Error) -> AskError {
    AskError::Malformed(sanitize::line(&error.to_string(), SAID_CHARS))
}

/// The words of a content, and whether it holds thoughts. A content is a text, or a list of parts of several types.
pub(super) fn words(content: &Value) -> (String, bool) {
    let (mut said, mut thinks) = (String::new(), false);
    let parts = match content {
        Value::Array(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    for part in parts {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
        match part.as_str().or_else(|| part.get("text").and_then(Value::as_str)) {
            Some(text) if matches!(kind, "text" | "output_text" | "text_delta") => said.push_str(text),
            _ => thinks |= kind.contains("think") || kind.contains("reason"),
        }
    }
    (said, thinks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[&str]) -> String {
        let mut reading = Reading::default();
        pieces.iter().for_each(|piece| reading.say(piece).unwrap());
        reading.text
    }

    #[test]
    fn pieces_that_repeat_the_answer_so_far_are_not_added_up() {
        let whole = "Hypothesis: a larger rate learns faster.";
        let growing: Vec<&str> = (1..=whole.len()).map(|end| &whole[..end]).collect();
        assert_eq!(told(&growing), whole);
        assert_eq!(told(&[&growing[..], &[whole]].concat()), whole, "the last piece comes twice");
        let pieces: Vec<&str> = (0..whole.len()).map(|at| &whole[at..=at]).collect();
        assert_eq!(told(&pieces), whole);
        assert_eq!(told(&["<", "<<", "<<<<", " SEARCH\n"]), "<<<<<<< SEARCH\n", "signs that only look alike");
        let line = "// ----------------\n";
        assert_eq!(told(&["a", line, line, line]), format!("a{}", line.repeat(3)));
    }
}
