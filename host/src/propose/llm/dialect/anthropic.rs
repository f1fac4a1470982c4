//! Anthropic Messages: <https://docs.anthropic.com/en/api/messages>, version 2023-06-01. Pure.

use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::dialect::reading::{Finish, Reading, Turn, lenient, part, words};
use crate::propose::llm::error::AskError;
use crate::propose::prompt::Prompt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
        messages: [Turn { role: "user", content: prompt.text.as_str().into() }],
    };
    serde_json::to_vec(&body)
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Message,
    },
    /// A whole answer as one event.
    Message(Message),
    /// Some servers put text into the start of a block.
    ContentBlockStart {
        #[serde(default)]
        content_block: Value,
    },
    ContentBlockDelta {
        delta: Value,
    },
    MessageDelta {
        delta: Stopped,
        #[serde(default, deserialize_with = "lenient")]
        usage: Option<Usage>,
    },
    MessageStop,
    #[serde(other)]
    Other,
}

/// `message_start` has no content yet; a whole answer has all of it.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Stopped {
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
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

pub(in crate::propose::llm) fn event(reading: &mut Reading, value: Value) -> Result<(), AskError> {
    match part(value)? {
        Event::MessageStart { message } => {
            // Its number of answer tokens is only the start of the count.
            reading.count(Usage { output_tokens: None, ..message.usage.unwrap_or(Usage::NONE) });
        }
        Event::Message(message) => {
            take(reading, &message)?;
            reading.ended = true;
        }
        Event::ContentBlockStart { content_block: block } | Event::ContentBlockDelta { delta: block } => {
            let (text, thinks) = words(&block);
            reading.thought |= thinks;
            reading.say(&text)?;
        }
        Event::MessageDelta { delta, usage } => {
            reading.count(usage.unwrap_or(Usage::NONE));
            reading.stop(delta.stop_reason.as_deref());
        }
        Event::MessageStop => reading.ended = true,
        Event::Other => {}
    }
    Ok(())
}

pub(in crate::propose::llm) fn whole(reading: &mut Reading, value: Value) -> Result<(), AskError> {
    let message: Message = part(value)?;
    if message.content.is_null() {
        return Err(AskError::Malformed("no `content`".into()));
    }
    take(reading, &message)
}

fn take(reading: &mut Reading, message: &Message) -> Result<(), AskError> {
    let (text, thinks) = words(&message.content);
    reading.thought |= thinks;
    reading.say(&text)?;
    reading.count(message.usage.as_ref().copied().unwrap_or(Usage::NONE));
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
                "max_tokens" => Finish::Cut,
                "model_context_window_exceeded" => Finish::ContextFull,
                "refusal" => Finish::Declined,
                _ => Finish::Whole,
            })
        });
    }
}
