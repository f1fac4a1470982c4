//! Chat completions: <https://platform.openai.com/docs/api-reference/chat>, as in OpenAI, Ollama, vLLM, llama.cpp and
//! many more, including their differences. Pure.

use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::dialect::manners::Manners;
use crate::propose::llm::dialect::reading::{Finish, Reading, Turn, lenient, part, words};
use crate::propose::llm::error::AskError;
use crate::propose::prompt::Prompt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    messages: Vec<Turn<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

pub(in crate::propose::llm) fn body(
    config: &ModelConfig,
    prompt: &Prompt,
    manners: Manners,
) -> serde_json::Result<Vec<u8>> {
    let turn = |role, content| Turn { role, content };
    let messages = match manners.no_system {
        false => vec![turn("system", prompt.system.as_str().into()), turn("user", prompt.text.as_str().into())],
        true => vec![turn("user", Cow::from(format!("{}\n\n{}", prompt.system, prompt.text)))],
    };
    let body = Body {
        model: &config.model,
        max_tokens: (!manners.newer_limit).then_some(config.max_output_tokens),
        max_completion_tokens: manners.newer_limit.then_some(config.max_output_tokens),
        temperature: config.temperature,
        stream: !manners.no_stream,
        stream_options: (!manners.no_usage && !manners.no_stream).then_some(StreamOptions { include_usage: true }),
        messages,
    };
    serde_json::to_vec(&body)
}

/// A part of an answer, or a whole one.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    /// Set in a part.
    #[serde(default)]
    delta: Option<Said>,
    /// Set in a whole answer.
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
}

/// Thoughts are not part of the answer. Servers send them beside it, under several names.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    reasoning_content: Value,
    #[serde(default)]
    reasoning: Value,
    #[serde(default)]
    thinking: Value,
    #[serde(default)]
    refusal: Value,
}

impl Said {
    fn thinks(&self) -> bool {
        [&self.reasoning_content, &self.reasoning, &self.thinking].iter().any(|thought| !words(thought).0.is_empty())
    }
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default, deserialize_with = "lenient")]
    prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    total_tokens: Option<u64>,
}

impl Usage {
    /// Tokens of the answer. Some servers count thoughts only in the total.
    fn output(&self) -> Option<u64> {
        let rest = self.total_tokens.zip(self.prompt_tokens).map(|(total, prompt)| total.saturating_sub(prompt));
        self.completion_tokens.max(rest)
    }
}

pub(in crate::propose::llm) fn event(reading: &mut Reading, value: Value) -> Result<(), AskError> {
    take(reading, part(value)?)
}

pub(in crate::propose::llm) fn whole(reading: &mut Reading, value: Value) -> Result<(), AskError> {
    let chunk: Chunk = part(value)?;
    if chunk.choices.is_none() {
        return Err(AskError::Malformed("no `choices`".into()));
    }
    take(reading, chunk)
}

fn take(reading: &mut Reading, chunk: Chunk) -> Result<(), AskError> {
    if let Some(usage) = chunk.usage {
        reading.tokens_in = usage.prompt_tokens.or(reading.tokens_in);
        reading.tokens_out = usage.output().or(reading.tokens_out);
    }
    // The request asks for one answer.
    let Some(choice) = chunk.choices.into_iter().flatten().next() else { return Ok(()) };
    let (delta, message) = (choice.delta.unwrap_or_default(), choice.message.unwrap_or_default());
    let ((piece, thinks), (whole, also)) = (words(&delta.content), words(&message.content));
    reading.thought |= thinks || also || delta.thinks() || message.thinks();
    // Some servers send both in one event: the next piece, and the answer so far.
    if piece.is_empty() {
        reading.say_whole(&whole)?
    } else {
        reading.say(&piece)?
    }
    let refuses = [delta.refusal, message.refusal].iter().any(|refusal| !words(refusal).0.is_empty());
    if refuses {
        reading.finish = Some(Finish::Declined);
    } else if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
        reading.finish = Some(finish(&reason.to_ascii_lowercase()));
    }
    Ok(())
}

/// What a finish reason means. Servers have many of their own.
fn finish(reason: &str) -> Finish {
    const FILTERS: [&str; 8] =
        ["content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "refusal", "sensitive"];
    const FAILURES: [&str; 11] = [
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "timeout",
        "server_error",
        "model_error",
        "network_error",
        "insufficient_system_resource",
        "engine_overloaded",
    ];
    match reason {
        "length" | "max_tokens" | "max_output_tokens" => Finish::Cut,
        "model_length" | "context_length" | "model_context_window_exceeded" => Finish::ContextFull,
        _ if FILTERS.iter().any(|filter| reason.starts_with(filter)) => Finish::Declined,
        _ if FAILURES.contains(&reason) => Finish::Failed,
        _ => Finish::Whole,
    }
}
