//! Errors of models, and their consequences for the night. Pure.

use crate::propose::proposer::ProposeError;
use std::time::Duration;

/// Why a model cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The address is invalid.
    #[error("base_url: {why}")]
    BaseUrl { why: &'static str },
    /// The variable with the key is not set.
    #[error("the key's variable {name} is not set: export {name}=…, or use `key_file`")]
    NoVariable { name: String },
    /// The file with the key cannot be used.
    #[error("key file {path}: {why}")]
    KeyFile { path: String, why: String },
    /// The text is not a key.
    #[error("the key is empty, too long, or holds characters that no key has")]
    NotAKey,
    /// The HTTP client could not be created.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// The part of an exchange that took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The connection.
    Connect,
    /// From the connection to the first byte of the answer.
    FirstByte,
    /// Between two parts of the answer.
    Idle,
    /// The whole exchange.
    Total,
}

impl Phase {
    /// The setting that limits this part.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Connect => "connect_s",
            Self::FirstByte => "first_byte_s",
            Self::Idle => "idle_s",
            Self::Total => "total_s",
        }
    }
}

/// The consequence of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Further requests are useless until a person acts. The model is done for the night.
    Stop,
    /// A temporary error, and all tries were used. Ask again later.
    Retry,
    /// This request or its answer is bad; another one may do better.
    Refused,
    /// The request was cancelled.
    Interrupted,
}

/// What a server that refuses a request wants instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The limit of an answer under its newer name.
    NewerLimit,
    /// No request for the counts of tokens.
    NoUsage,
    /// No turn with the role of the system.
    NoSystem,
    /// The answer in one piece.
    NoStream,
}

/// Why there is no answer. Messages repeat a server's words escaped, cut and without the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Status 401 or 403, or an equivalent message.
    #[error("the server refuses the key ({said}): check `key_env` or `key_file`")]
    Authentication { said: String },
    /// Status 402, or an equivalent message.
    #[error("the account has no credit ({said}): pay, or take another model")]
    Payment { said: String },
    /// Status 404.
    #[error("the server knows no such model or address ({said}): check `model` and `base_url`")]
    NotFound { said: String },
    /// A redirect that is not followed: the key and the prompt only go to the configured server.
    #[error("the server redirects to {to}, and {why}")]
    Redirect {
        /// The new address.
        to: String,
        /// Why it is not followed, and what to do.
        why: &'static str,
    },
    /// Another 4xx status.
    #[error("the server does not take the request ({said})")]
    BadRequest {
        said: String,
        /// What the same request should be like, if its words tell.
        wants: Option<Wants>,
    },
    /// The prompt, or the prompt and the answer, do not fit the server's context.
    #[error(
        "the server's context is full ({said}): enlarge it there, or lower `prompt_tokens` and `max_output_tokens`"
    )]
    Context { said: String },
    /// Status 429 or 5xx, or an error event in a stream.
    #[error("the server is busy or failing ({said})")]
    Busy {
        said: String,
        /// The wait that the server asked for.
        retry_after: Option<Duration>,
    },
    /// The connection failed.
    #[error("no connection to the server: {0}: is it running, is `base_url` right?")]
    Connect(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    /// A time limit passed.
    #[error("no answer in time: `{}` allows {limit_s} s", phase.setting())]
    Timeout { phase: Phase, limit_s: u64 },
    /// The stream ended early.
    #[error("the answer breaks off before its end")]
    Truncated,
    /// The answer is neither events nor JSON.
    #[error("the answer is `{found}`, not events or JSON: is `base_url` an API, and `dialect` its own?")]
    ContentType {
        /// Its content type.
        found: String,
    },
    /// An answer without a body.
    #[error("the server answers {status} and nothing more: is `base_url` an API, and `dialect` its own?")]
    NoBody { status: u16 },
    /// Several consecutive answers show that no request will succeed.
    #[error("the server and the settings do not fit together, for the same came of several requests in a row: {last}")]
    Misfit {
        /// The latest error.
        last: Box<AskError>,
    },
    /// The answer does not match the dialect.
    #[error("the answer is not what the dialect says: {0}")]
    Malformed(String),
    /// A part of the answer is larger than its cap.
    #[error("the answer's {what} has more than {limit} bytes")]
    TooLarge {
        /// Body, line or text.
        what: &'static str,
        limit: usize,
    },
    /// The answer was cut at the token limit.
    #[error("the answer was cut at {limit} tokens: raise `max_output_tokens`")]
    Cut {
        /// Largest number of tokens in an answer.
        limit: u64,
    },
    /// The model, or a filter behind it, declines.
    #[error("the model declines to answer")]
    Declined,
    /// The answer has no text.
    #[error("the answer is empty")]
    Empty,
    /// The answer has thoughts and no text.
    #[error("the answer has thoughts and nothing more: answer after thinking")]
    OnlyThoughts,
    /// The request was cancelled.
    #[error("interrupted")]
    Interrupted,
    /// The request could not be written.
    #[error("the request cannot be written as JSON: {0}")]
    Unwritten(String),
    /// The night's ledger refused the request, or could not be written.
    #[error(transparent)]
    Ledger(ProposeError),
}

impl AskError {
    /// The consequence for the night.
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
            Self::BadRequest { .. }
            | Self::Context { .. }
            | Self::Cut { .. }
            | Self::Declined
            | Self::Empty
            | Self::OnlyThoughts
            | Self::Unwritten(_) => Class::Refused,
            Self::Interrupted => Class::Interrupted,
        }
    }

    /// Whether other requests will probably fail too, if several in a row failed like this.
    pub(super) fn is_misfit(&self) -> bool {
        matches!(
            self,
            Self::BadRequest { .. }
                | Self::Context { .. }
                | Self::ContentType { .. }
                | Self::NoBody { .. }
                | Self::Malformed(_)
        )
    }

    /// The status word for the store.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Authentication { .. } => "authentication",
            Self::Payment { .. } => "payment",
            Self::NotFound { .. } => "not-found",
            Self::Redirect { .. } => "redirect",
            Self::BadRequest { .. } => "bad-request",
            Self::Context { .. } => "context",
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
            Self::OnlyThoughts => "only-thoughts",
            Self::Interrupted => "interrupted",
            Self::Unwritten(_) => "unwritten",
            Self::Ledger(_) => "ledger",
        }
    }

    /// The same error with the server's words changed by `change`.
    #[must_use]
    pub(super) fn map_said(self, change: impl Fn(String) -> String) -> Self {
        match self {
            Self::Authentication { said } => Self::Authentication { said: change(said) },
            Self::Payment { said } => Self::Payment { said: change(said) },
            Self::NotFound { said } => Self::NotFound { said: change(said) },
            Self::Redirect { to, why } => Self::Redirect { to: change(to), why },
            Self::BadRequest { said, wants } => Self::BadRequest { said: change(said), wants },
            Self::Context { said } => Self::Context { said: change(said) },
            Self::Busy { said, retry_after } => Self::Busy { said: change(said), retry_after },
            Self::Connect(words) => Self::Connect(change(words)),
            Self::Broken(words) => Self::Broken(change(words)),
            Self::ContentType { found } => Self::ContentType { found: change(found) },
            Self::Malformed(words) => Self::Malformed(change(words)),
            other => other,
        }
    }

    /// The wait that the server asked for.
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
            // The model may do better if it is told the fault.
            AskError::Cut { .. } | AskError::Empty | AskError::OnlyThoughts | AskError::Declined => {
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
