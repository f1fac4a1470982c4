//! Chat completions: <https://platform.openai.com/docs/api-reference/chat>, as in OpenAI, Ollama, vLLM, llama.cpp and
//! many more, including their differences. Pure.

use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::dialect::reading::{Complaint, Finish, Reading, Turn, json, lenient};
use crate::propose::llm::error::AskError;
use crate::propose::prompt::Prompt;
use serde::{Deserialize, Serialize};

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
    stream_options: StreamOptions,
    messages: [Turn<'a>; 2],
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

pub(in crate::propose::llm) fn body(config: &ModelConfig, prompt: &Prompt, newer: bool) -> serde_json::Result<Vec<u8>> {
    let system = Turn { role: "system", content: &prompt.system };
    let body = Body {
        model: &config.model,
        max_tokens: (!newer).then_some(config.max_output_tokens),
        max_completion_tokens: newer.then_some(config.max_output_tokens),
        temperature: config.temperature,
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        messages: [system, Turn { role: "user", content: &prompt.text }],
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
    #[serde(default)]
    error: Option<Complaint>,
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

/// Thoughts (`reasoning_content`) are not part of the answer.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default, deserialize_with = "lenient")]
    prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    completion_tokens: Option<u64>,
}

pub(in crate::propose::llm) fn event(reading: &mut Reading, data: &str) -> Result<(), AskError> {
    if data.trim() == "[DONE]" {
        reading.ended = true;
        return Ok(());
    }
    take(reading, json(data.as_bytes())?)
}

pub(in crate::propose::llm) fn whole(reading: &mut Reading, body: &[u8]) -> Result<(), AskError> {
    let chunk: Chunk = json(body)?;
    if chunk.error.is_none() && chunk.choices.is_none() {
        return Err(AskError::Malformed("no `choices`".into()));
    }
    take(reading, chunk)
}

fn take(reading: &mut Reading, chunk: Chunk) -> Result<(), AskError> {
    if let Some(error) = chunk.error {
        return Err(error.classify(None, None));
    }
    if let Some(usage) = chunk.usage {
        reading.tokens_in = usage.prompt_tokens.or(reading.tokens_in);
        reading.tokens_out = usage.completion_tokens.or(reading.tokens_out);
    }
    // The request asks for one answer.
    let Some(choice) = chunk.choices.into_iter().flatten().next() else { return Ok(()) };
    for said in [choice.delta, choice.message].into_iter().flatten() {
        reading.say(said.content.as_deref().unwrap_or_default())?;
    }
    if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
        reading.finish = Some(match reason.as_str() {
            "length" => Finish::Cut,
            "content_filter" => Finish::Declined,
            _ => Finish::Whole,
        });
    }
    Ok(())
}
