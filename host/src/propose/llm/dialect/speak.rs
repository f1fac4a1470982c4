//! Chooses the dialect's code for bodies and answers.

use crate::propose::llm::config::{Dialect, ModelConfig};
use crate::propose::llm::dialect::manners::Manners;
use crate::propose::llm::dialect::reading::{Reading, malformed};
use crate::propose::llm::dialect::{anthropic, openai};
use crate::propose::llm::error::AskError;
use crate::propose::llm::sse::Events;
use crate::propose::prompt::Prompt;
use serde_json::Value;

/// The body of a request.
pub(in crate::propose::llm) fn body(
    config: &ModelConfig,
    prompt: &Prompt,
    manners: Manners,
) -> serde_json::Result<Vec<u8>> {
    match config.dialect {
        Dialect::Anthropic => anthropic::body(config, prompt),
        Dialect::Openai => openai::body(config, prompt, manners),
    }
}

impl Reading {
    /// Reads the data of an event. Returns true if it was the last one.
    pub fn event(&mut self, dialect: Dialect, data: &str) -> Result<bool, AskError> {
        match data.trim() {
            // Some servers send events without data to keep the connection alive.
            "" => {}
            "[DONE]" => self.ended = true,
            data => self.value(dialect, serde_json::from_str(data).map_err(malformed)?, false)?,
        }
        Ok(self.ended)
    }

    /// Reads an answer that arrived in one piece, or with one part on each line.
    pub fn whole(&mut self, dialect: Dialect, body: &[u8]) -> Result<(), AskError> {
        let error = match serde_json::from_slice(body) {
            Ok(value) => {
                self.value(dialect, value, true)?;
                self.ended = true;
                return Ok(());
            }
            Err(error) => error,
        };
        let (mut events, mut any) = (Events::default(), false);
        let mut take = |data: &str| {
            let ended = self.event(dialect, data);
            any |= ended.is_ok();
            ended
        };
        match events.push(body, &mut take).and_then(|ended| Ok(ended || events.finish(&mut take)?)) {
            Err(AskError::Malformed(_)) if !any => Err(malformed(error)),
            read => read.map(drop),
        }
    }

    fn value(&mut self, dialect: Dialect, value: Value, whole: bool) -> Result<(), AskError> {
        match dialect {
            Dialect::Anthropic if whole => anthropic::whole(self, value),
            Dialect::Anthropic => anthropic::event(self, value),
            Dialect::Openai if whole => openai::whole(self, value),
            Dialect::Openai => openai::event(self, value),
        }
    }
}
