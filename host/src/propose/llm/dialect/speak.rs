//! Which of the two dialects a model speaks: the only place that chooses.

use crate::propose::llm::config::{Dialect, ModelConfig};
use crate::propose::llm::dialect::reading::Reading;
use crate::propose::llm::dialect::{anthropic, openai};
use crate::propose::llm::error::AskError;
use crate::propose::prompt::Prompt;

/// The body of a request. `newer` says `max_completion_tokens` where the chat dialect has always said `max_tokens`.
pub(in crate::propose::llm) fn body(config: &ModelConfig, prompt: &Prompt, newer: bool) -> serde_json::Result<Vec<u8>> {
    match config.dialect {
        Dialect::Anthropic => anthropic::body(config, prompt),
        Dialect::Openai => openai::body(config, prompt, newer),
    }
}

impl Reading {
    /// Takes an event's data; true where it was the last.
    pub fn event(&mut self, dialect: Dialect, data: &str) -> Result<bool, AskError> {
        match dialect {
            Dialect::Anthropic => anthropic::event(self, data)?,
            Dialect::Openai => openai::event(self, data)?,
        }
        Ok(self.ended)
    }

    /// Takes an answer that came in one piece.
    pub fn whole(&mut self, dialect: Dialect, body: &[u8]) -> Result<(), AskError> {
        match dialect {
            Dialect::Anthropic => anthropic::whole(self, body)?,
            Dialect::Openai => openai::whole(self, body)?,
        }
        self.ended = true;
        Ok(())
    }
}
