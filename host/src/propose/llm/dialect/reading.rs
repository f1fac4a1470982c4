//! Code that both dialects share: the answer while it is read, and a server's refusals.

use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::error::AskError;
use crate::system::sanitize;
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Longest text of an answer in bytes. The longest source is a quarter of it.
pub(in crate::propose::llm) const MAX_TEXT_BYTES: usize = 1 << 20;

/// Characters of a server's message that an error repeats.
const SAID_CHARS: usize = 300;

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
    /// The model, or a filter, declined.
    Declined,
}

/// An answer while it is read.
#[derive(Debug, Default)]
pub(in crate::propose::llm) struct Reading {
    text: String,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub(super) finish: Option<Finish>,
    pub(super) ended: bool,
}

/// A turn of a conversation, in either dialect.
#[derive(Serialize)]
pub(super) struct Turn<'a> {
    pub(super) role: &'static str,
    pub(super) content: &'a str,
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
        match self.finish {
            _ if !self.is_complete() => Err(AskError::Truncated),
            Some(Finish::Cut) => Err(AskError::Cut { limit: config.max_output_tokens }),
            Some(Finish::Declined) => Err(AskError::Declined),
            Some(Finish::Whole) | None if self.text.trim().is_empty() => Err(AskError::Empty),
            Some(Finish::Whole) | None => {
                Ok(Response { text: self.text, tokens_in: self.tokens_in, tokens_out: self.tokens_out })
            }
        }
    }

    pub(super) fn say(&mut self, text: &str) -> Result<(), AskError> {
        if self.text.len().saturating_add(text.len()) > MAX_TEXT_BYTES {
            return Err(AskError::TooLarge { what: "text", limit: MAX_TEXT_BYTES });
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// A server's error body, in either dialect and in Ollama's own form:
/// `{"error": {"type", "message"}}` or `{"error": "words"}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Complaint {
    Words(String),
    Typed {
        #[serde(default, rename = "type")]
        kind: Option<String>,
        #[serde(default)]
        code: Option<Value>,
        #[serde(default)]
        message: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: Complaint,
}

/// The error for an unsuccessful status and its body.
pub(in crate::propose::llm) fn refusal(status: u16, body: &[u8], retry_after: Option<Duration>) -> AskError {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error }) => error.classify(Some(status), retry_after),
        Err(_) => Complaint::Words(String::from_utf8_lossy(body).into_owned()).classify(Some(status), retry_after),
    }
}

impl Complaint {
    pub(super) fn classify(self, status: Option<u16>, retry_after: Option<Duration>) -> AskError {
        let (kind, message) = match self {
            Self::Words(words) => (String::new(), words),
            Self::Typed { kind, code, message } => {
                let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or_default();
                (format!("{} {code}", kind.unwrap_or_default()), message.unwrap_or_default())
            }
        };
        let words = sanitize::line(&message, SAID_CHARS);
        let said = match (status, words.is_empty()) {
            (Some(status), true) => format!("status {status}"),
            (Some(status), false) => format!("{status}: {words}"),
            (None, true) => sanitize::line(&kind, SAID_CHARS),
            (None, false) => words,
        };
        let is = |kinds: &[&str]| kinds.iter().any(|k| kind.split(' ').any(|word| word == *k));
        // The body is more exact than the status: missing credit comes as 400, 402, 403 and 429.
        if status == Some(402) || is(&["billing_error", "insufficient_quota"]) || message.contains("credit balance") {
            return AskError::Payment { said };
        }
        if matches!(status, Some(401 | 403)) || is(&["authentication_error", "permission_error", "invalid_api_key"]) {
            return AskError::Authentication { said };
        }
        if matches!(status, Some(404 | 405)) || is(&["not_found_error", "model_not_found"]) {
            return AskError::NotFound { said };
        }
        let temporary = matches!(status, Some(408 | 409 | 425 | 429));
        let ours = status.is_some_and(|status| status < 500) || is(&["invalid_request_error"]);
        if ours && !temporary { AskError::BadRequest { said } } else { AskError::Busy { said, retry_after } }
    }
}

/// Reads an optional part of an answer. A part that does not match the dialect counts as missing.
pub(super) fn lenient<'de, T: DeserializeOwned, D: Deserializer<'de>>(part: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(part)?).ok())
}

/// Reads JSON of the dialect. The error names the place that does not match.
pub(super) fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, AskError> {
    serde_json::from_slice(bytes).map_err(|error| AskError::Malformed(sanitize::line(&error.to_string(), SAID_CHARS)))
}
