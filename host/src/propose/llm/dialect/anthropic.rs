//! Anthropic Messages: <https://docs.anthropic.com/en/api/messages>, version 2023-06-01. Pure.

use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::dialect::reading::{Complaint, Finish, Reading, Turn, json, lenient};
use crate::propose::llm::error::AskError;
use crate::propose::prompt::Prompt;
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    stream: bool,
    system: &'a str,
    messages: [Turn<'a>; 1],
}

pub(in crate::propose::llm) fn body(config: &ModelConfig, prompt: &Prompt) -> serde_json::Result<Vec<u8>> {
    let body = Body {
        model: &config.model,
        max_tokens: config.max_output_tokens,
        temperature: config.temperature,
        stream: true,
        system: &prompt.system,
        messages: [Turn { role: "user", content: &prompt.text }],
    };
    serde_json::to_vec(&body)
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Message,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: Stopped,
        #[serde(default, deserialize_with = "lenient")]
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: Complaint,
    },
    #[serde(other)]
    Other,
}

/// `message_start` has no content yet; a whole answer has all of it.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<Delta>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Usage>,
}

/// Text of a block or of a part of it. Thoughts and tools have none.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    #[serde(alias = "text_delta")]
    Text { text: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stopped {
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default, deserialize_with = "lenient")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    cache_read_input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    output_tokens: Option<u64>,
}

pub(in crate::propose::llm) fn event(reading: &mut Reading, data: &str) -> Result<(), AskError> {
    match json(data.as_bytes())? {
        Event::MessageStart { message } => {
            // Its number of answer tokens is only the start of the count.
            reading.count(Usage { output_tokens: None, ..message.usage.unwrap_or(Usage::NONE) });
        }
        Event::ContentBlockDelta { delta: Delta::Text { text } } => reading.say(&text)?,
        Event::MessageDelta { delta, usage } => {
            reading.count(usage.unwrap_or(Usage::NONE));
            reading.stop(delta.stop_reason.as_deref());
        }
        Event::MessageStop => reading.ended = true,
        Event::Error { error } => return Err(error.classify(None, None)),
        Event::ContentBlockDelta { delta: Delta::Other } | Event::Other => {}
    }
    Ok(())
}

pub(in crate::propose::llm) fn whole(reading: &mut Reading, body: &[u8]) -> Result<(), AskError> {
    let message: Message = json(body)?;
    for block in &message.content {
        if let Delta::Text { text } = block {
            reading.say(text)?;
        }
    }
    reading.count(message.usage.unwrap_or(Usage::NONE));
    reading.stop(message.stop_reason.as_deref());
    Ok(())
}

impl Usage {
    const NONE: Self = Self {
        input_tokens: None,
        cache_creation_input_tokens: None,
        cache_read_input_tokens: None,
        output_tokens: None,
    };
}

impl Reading {
    fn count(&mut self, usage: Usage) {
        if let Some(input) = usage.input_tokens {
            let written = usage.cache_creation_input_tokens.unwrap_or(0);
            let cached = usage.cache_read_input_tokens.unwrap_or(0);
            self.tokens_in = Some(input.saturating_add(written).saturating_add(cached));
        }
        self.tokens_out = usage.output_tokens.or(self.tokens_out);
    }

    fn stop(&mut self, reason: Option<&str>) {
        self.finish = reason.map_or(self.finish, |reason| {
            Some(match reason {
                "max_tokens" | "model_context_window_exceeded" => Finish::Cut,
                "refusal" => Finish::Declined,
                _ => Finish::Whole,
            })
        });
    }
}
