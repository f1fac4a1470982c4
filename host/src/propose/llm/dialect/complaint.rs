//! A server's complaint, as the body of a refusal, as an event, or as an answer with status 200. Each server has a form
//! of its own. Pure.

use crate::propose::llm::error::{AskError, Wants};
use crate::system::sanitize;
use serde_json::{Map, Value};
use std::time::Duration;

/// Characters of a server's message that an error repeats.
pub(super) const SAID_CHARS: usize = 300;

/// Words for the kinds of complaints, in small letters without signs between them.
const PAYMENT: [&str; 4] = ["billingerror", "insufficientquota", "insufficientcredits", "paymentrequired"];
const AUTHENTICATION: [&str; 8] = [
    "authenticationerror",
    "permissionerror",
    "permissiondenied",
    "permissiondeniederror",
    "invalidapikey",
    "apikeyinvalid",
    "unauthenticated",
    "unauthorized",
];
const NOT_FOUND: [&str; 4] = ["notfounderror", "notfound", "modelnotfound", "modelnotfounderror"];
const CONTEXT: [&str; 2] = ["exceedcontextsizeerror", "contextlengthexceeded"];
const BAD_REQUEST: [&str; 6] = [
    "invalidrequesterror",
    "badrequesterror",
    "invalidargument",
    "validation",
    "validationerror",
    "unprocessableentityerror",
];

/// What a server says is wrong.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    kinds: Vec<String>,
    /// The HTTP status that it names itself.
    status: Option<u16>,
    words: String,
}

impl Complaint {
    pub fn of_words(words: &str) -> Self {
        Self { words: words.into(), ..Self::default() }
    }

    /// The complaint in a value; `None` if it is an answer. The forms are `{"error": {…}}` (most servers),
    /// `{"error": "words"}` (Ollama, LM Studio), `[{"error": {…}}]` (Gemini), `{"object": "error", "message": …}`
    /// (vLLM, Mistral), `{"code", "message", "type"}` (llama.cpp), `{"detail": …}` (FastAPI) and `{"errors": […]}`
    /// (Cloudflare).
    pub fn of(value: &Value) -> Option<Self> {
        let fields = match value {
            Value::Array(elements) => return Self::of(elements.first()?),
            Value::Object(fields) => fields,
            _ => return None,
        };
        let field = |name: &str| fields.get(name).filter(|value| says_something(value));
        if let Some(error) = field("error") {
            return Some(Self::read(error, fields));
        }
        if ["choices", "content"].iter().any(|answer| field(answer).is_some()) {
            return None;
        }
        if let Some(error) = field("errors").and_then(|errors| errors.get(0)) {
            return Some(Self::read(error, fields));
        }
        let named = ["object", "type"].iter().any(|name| {
            field(name).and_then(Value::as_str).is_some_and(|kind| kind.to_ascii_lowercase().contains("error"))
        });
        let is_bare = field("message").is_some() && (named || status_of(fields).is_some());
        (is_bare || field("detail").is_some()).then(|| Self::read(value, fields))
    }

    fn read(error: &Value, around: &Map<String, Value>) -> Self {
        let Value::Object(fields) = error else {
            return Self { kinds: kinds_of(around), status: status_of(around), words: text(error) };
        };
        let said = ["message", "msg", "detail", "error", "description"].iter().filter_map(|name| fields.get(*name));
        let said = said.filter(|value| says_something(value)).map(text).next();
        // OpenRouter repeats what the server behind it said.
        let behind = fields.get("metadata").and_then(|metadata| metadata.get("raw")).map(text);
        let words = [said, behind].into_iter().flatten().collect::<Vec<_>>().join(": ");
        Self {
            kinds: [kinds_of(fields), kinds_of(around)].concat(),
            status: status_of(fields).or_else(|| status_of(around)),
            words,
        }
    }

    /// The error that it amounts to. `status` is that of the HTTP answer, unless this was a success.
    pub fn classify(self, status: Option<u16>, retry_after: Option<Duration>) -> AskError {
        let Self { kinds, status: own, words } = self;
        let (lower, status) = (words.to_lowercase(), status.or(own));
        let line = sanitize::line(&words, SAID_CHARS);
        let said = match (status, line.is_empty()) {
            (Some(status), true) => format!("status {status}"),
            (Some(status), false) => format!("{status}: {line}"),
            (None, true) => sanitize::line(&kinds.join(" "), SAID_CHARS),
            (None, false) => line,
        };
        let is = |known: &[&str]| known.iter().any(|word| kinds.iter().any(|kind| kind == word));
        let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
        let temporary = matches!(status, Some(408 | 409 | 425 | 429));
        // The body is more exact than the status: missing credit comes as 400, 402, 403 and 429.
        if status == Some(402)
            || is(&PAYMENT)
            || says(&["credit balance", "insufficient credit", "insufficient balance"])
        {
            return AskError::Payment { said };
        }
        let bad_key = ["api key not valid", "invalid api key", "incorrect api key", "invalid x-api-key"];
        if matches!(status, Some(401 | 403)) || is(&AUTHENTICATION) || says(&bad_key) {
            return AskError::Authentication { said };
        }
        if matches!(status, Some(404 | 405)) || is(&NOT_FOUND) || says(&["unexpected endpoint"]) {
            return AskError::NotFound { said };
        }
        if !temporary && (is(&CONTEXT) || is_about_context(&lower)) {
            return AskError::Context { said };
        }
        let wants = wants(&lower);
        let ours = status.is_some_and(|status| status < 500) || is(&BAD_REQUEST) || wants.is_some();
        if ours && !temporary {
            return AskError::BadRequest { said, wants };
        }
        AskError::Busy { said, retry_after }
    }
}

/// Whether a prompt, or a prompt and its answer, do not fit the server's context.
fn is_about_context(words: &str) -> bool {
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    says(&["context"]) && says(&["exceed", "maximum", "too long", "too small", "overflow", "larger", "greater"])
        || says(&["prompt is too long", "input is too long", "input token count", "too many tokens"])
        || says(&["max_new_tokens"]) && says(&["must be <="])
}

/// What a server that refuses a request wants instead.
fn wants(words: &str) -> Option<Wants> {
    const SYSTEM: [&str; 8] = [
        "system role",
        "system message",
        "system prompt",
        "system instruction",
        "developer role",
        "developer instruction",
        "'system'",
        "\"system\"",
    ];
    const STREAM: [&str; 5] = ["streaming", "'stream'", "`stream`", "\"stream\"", "stream must be false"];
    const ROLES: [&str; 4] =
        ["only user and assistant roles", "only user, assistant", "'user' or 'assistant'", "roles must alternate"];
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let refused = says(&["not support", "n't support", "unsupported", "not enabled", "not allowed", "not permitted"]);
    if says(&["stream_options", "include_usage"]) {
        Some(Wants::NoUsage)
    } else if says(&["max_completion_tokens"]) {
        Some(Wants::NewerLimit)
    } else if says(&ROLES) || says(&SYSTEM) && (refused || says(&["invalid", "unexpected", "unknown"])) {
        Some(Wants::NoSystem)
    } else if says(&STREAM) && (refused || says(&["must be false"])) {
        Some(Wants::NoStream)
    } else {
        None
    }
}

/// Some servers send an empty error with every answer.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Number(_) => false,
        Value::Bool(true) => true,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(fields) => fields.values().any(|value| says_something(value) || value.is_number()),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Codes are numbers, numbers as texts, or words.
fn status_of(fields: &Map<String, Value>) -> Option<u16> {
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse::<u64>().ok(),
        other => other.as_u64(),
    };
    ["code", "status", "status_code", "statusCode"]
        .iter()
        .filter_map(|name| fields.get(*name).and_then(number))
        .find(|status| (400..600).contains(status))
        .and_then(|status| u16::try_from(status).ok())
}

fn kinds_of(fields: &Map<String, Value>) -> Vec<String> {
    let words = ["type", "code", "status", "error_type", "reason", "name"].iter().filter_map(|name| fields.get(*name));
    let plain = |word: &str| word.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    words.filter_map(Value::as_str).map(plain).filter(|word| !word.is_empty() && word != "error").collect()
}
