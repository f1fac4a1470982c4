//! Why a model cannot be asked, or gave no answer; what each means for the night. Pure.

use crate::propose::proposer::ProposeError;
use std::time::Duration;

/// Why a model cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The address.
    #[error("base_url: {why}")]
    BaseUrl {
        /// What is wrong.
        why: &'static str,
    },
    /// The variable with the key.
    #[error("the key's variable {name} is not set: export {name}=…, or use `key_file`")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// The file with the key.
    #[error("key file {path}: {why}")]
    KeyFile {
        /// Where.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// What was found is no key.
    #[error("the key is empty, too long, or holds characters that no key has")]
    NotAKey,
    /// The HTTP client.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// What part of an exchange took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Until connected.
    Connect,
    /// From connected to the first byte of the answer.
    FirstByte,
    /// Between two pieces of the answer.
    Idle,
    /// All of it.
    Total,
}

impl Phase {
    /// The setting that bounds it.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Connect => "connect_s",
            Self::FirstByte => "first_byte_s",
            Self::Idle => "idle_s",
            Self::Total => "total_s",
        }
    }
}

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asking again is useless until a person acts: this model is done for the night.
    Stop,
    /// Temporary; every allowed try was used up. Ask again later.
    Retry,
    /// This request or its answer is bad; another may do better.
    Refused,
    /// Somebody asked to stop.
    Interrupted,
}

/// Why there is no answer. Messages hold a server's own words escaped, cut and without the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// 401, 403, or words to that effect.
    #[error("the server refuses the key ({said}): check `key_env` or `key_file`")]
    Authentication {
        /// The server's words.
        said: String,
    },
    /// 402, or words to that effect.
    #[error("the account has no credit ({said}): pay, or take another model")]
    Payment {
        /// The server's words.
        said: String,
    },
    /// 404.
    #[error("the server knows no such model or address ({said}): check `model` and `base_url`")]
    NotFound {
        /// The server's words.
        said: String,
    },
    /// A redirect that is not followed: no key or prompt goes where nobody sent it.
    #[error("the server redirects to {to}, and {why}")]
    Redirect {
        /// Where to.
        to: String,
        /// What keeps it from being followed, and what to do.
        why: &'static str,
    },
    /// Another 4xx.
    #[error("the server does not take the request ({said})")]
    BadRequest {
        /// The server's words.
        said: String,
    },
    /// 429 or 5xx, or an error event in a stream.
    #[error("the server is busy or failing ({said})")]
    Busy {
        /// The server's words.
        said: String,
        /// When to come back, as it said.
        retry_after: Option<Duration>,
    },
    /// No connection.
    #[error("no connection to the server: {0}: is it running, is `base_url` right?")]
    Connect(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Too slow.
    #[error("no answer in time: `{}` allows {limit_s} s", phase.setting())]
    Timeout {
        /// Which limit.
        phase: Phase,
        /// Its value.
        limit_s: u64,
    },
    /// A stream without its end.
    #[error("the answer breaks off before its end")]
    Truncated,
    /// Neither events nor JSON.
    #[error("the answer is `{found}`, not events or JSON: is `base_url` an API, and `dialect` its own?")]
    ContentType {
        /// What it claims to be.
        found: String,
    },
    /// Nothing.
    #[error("the server answers {status} and nothing more: is `base_url` an API, and `dialect` its own?")]
    NoBody {
        /// The status.
        status: u16,
    },
    /// Again and again an answer that no other request will mend.
    #[error("the server and the settings do not fit together, for the same came of several requests in a row: {last}")]
    Misfit {
        /// What came last.
        last: Box<AskError>,
    },
    /// Not what the dialect says.
    #[error("the answer is not what the dialect says: {0}")]
    Malformed(String),
    /// Beyond a cap.
    #[error("the answer's {what} has more than {limit} bytes")]
    TooLarge {
        /// Body, line or text.
        what: &'static str,
        /// The cap.
        limit: usize,
    },
    /// The model had more to say.
    #[error("the answer was cut at {limit} tokens: raise `max_output_tokens`")]
    Cut {
        /// Most tokens of an answer.
        limit: u64,
    },
    /// The model, or a filter behind it, declines.
    #[error("the model declines to answer")]
    Declined,
    /// No text.
    #[error("the answer is empty")]
    Empty,
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The request could not be written.
    #[error("the request cannot be written as JSON: {0}")]
    Unwritten(String),
    /// The night's accounts do not allow it, or could not be written.
    #[error(transparent)]
    Ledger(ProposeError),
}

impl AskError {
    /// What it means.
    pub fn class(&self) -> Class {
        match self {
            Self::Authentication { .. }
            | Self::Payment { .. }
            | Self::NotFound { .. }
            | Self::Redirect { .. }
            | Self::Misfit { .. }
            | Self::Ledger(_) => Class::Stop,
            Self::Busy { .. }
            | Self::Connect(_)
            | Self::Broken(_)
            | Self::Timeout { .. }
            | Self::Truncated
            | Self::ContentType { .. }
            | Self::NoBody { .. }
            | Self::Malformed(_)
            | Self::TooLarge { .. } => Class::Retry,
            Self::BadRequest { .. } | Self::Cut { .. } | Self::Declined | Self::Empty | Self::Unwritten(_) => {
                Class::Refused
            }
            Self::Interrupted => Class::Interrupted,
        }
    }

    /// Whether another request will hardly fare better, where several in a row fared so.
    pub(super) fn is_misfit(&self) -> bool {
        matches!(self, Self::BadRequest { .. } | Self::ContentType { .. } | Self::NoBody { .. } | Self::Malformed(_))
    }

    /// One word for the record.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Authentication { .. } => "authentication",
            Self::Payment { .. } => "payment",
            Self::NotFound { .. } => "not-found",
            Self::Redirect { .. } => "redirect",
            Self::BadRequest { .. } => "bad-request",
            Self::Busy { .. } => "busy",
            Self::Connect(_) => "no-connection",
            Self::Broken(_) => "broken",
            Self::Timeout { .. } => "timeout",
            Self::Truncated => "truncated",
            Self::ContentType { .. } => "content-type",
            Self::NoBody { .. } => "no-body",
            Self::Misfit { last } => last.name(),
            Self::Malformed(_) => "malformed",
            Self::TooLarge { .. } => "too-large",
            Self::Cut { .. } => "cut",
            Self::Declined => "declined",
            Self::Empty => "empty",
            Self::Interrupted => "interrupted",
            Self::Unwritten(_) => "unwritten",
            Self::Ledger(_) => "ledger",
        }
    }

    /// The same error with a server's words changed.
    #[must_use]
    pub(super) fn map_said(self, change: impl Fn(String) -> String) -> Self {
        match self {
            Self::Authentication { said } => Self::Authentication { said: change(said) },
            Self::Payment { said } => Self::Payment { said: change(said) },
            Self::NotFound { said } => Self::NotFound { said: change(said) },
            Self::Redirect { to, why } => Self::Redirect { to: change(to), why },
            Self::BadRequest { said } => Self::BadRequest { said: change(said) },
            Self::Busy { said, retry_after } => Self::Busy { said: change(said), retry_after },
            Self::Connect(words) => Self::Connect(change(words)),
            Self::Broken(words) => Self::Broken(change(words)),
            Self::ContentType { found } => Self::ContentType { found: change(found) },
            Self::Malformed(words) => Self::Malformed(change(words)),
            other => other,
        }
    }

    /// When the server said to come back.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<AskError> for ProposeError {
    fn from(error: AskError) -> Self {
        let reason = error.to_string();
        match error {
            AskError::Ledger(error) => error,
            // The model may do better once it is told.
            AskError::Cut { .. } | AskError::Empty | AskError::Declined => {
                Self::Answer { reason, answer: String::new() }
            }
            _ => match error.class() {
                Class::Stop => Self::Stop(reason),
                Class::Retry | Class::Refused => Self::Later { reason, after: error.retry_after() },
                Class::Interrupted => Self::Interrupted,
            },
        }
    }
}
