//! Chooses the dialect's code for bodies and answers.

use crate::propose::llm::config::{Dialect, ModelConfig};
use crate::propose::llm::dialect::reading::Reading;
use crate::propose::llm::dialect::{anthropic, openai};
use crate::propose::llm::error::AskError;
use crate::propose::prompt::Prompt;

/// The body of a request. `newer` uses `max_completion_tokens` instead of `max_tokens` in the chat dialect.
pub(in crate::propose::llm) fn body(config: &ModelConfig, prompt: &Prompt, newer: bool) -> serde_json::Result<Vec<u8>> {
    match config.dialect {
        Dialect::Anthropic => anthropic::body(config, prompt),
        Dialect::Openai => openai::body(config, prompt, newer),
    }
}

impl Reading {
    /// Reads the data of an event. Returns true if it was the last one.
    pub fn event(&mut self, dialect: Dialect, data: &str) -> Result<bool, AskError> {
        match dialect {
            Dialect::Anthropic => anthropic::event(self, data)?,
            Dialect::Openai => openai::event(self, data)?,
        }
        Ok(self.ended)
    }

    /// Reads an answer that arrived in one piece.
    pub fn whole(&mut self, dialect: Dialect, body: &[u8]) -> Result<(), AskError> {
        match dialect {
            Dialect::Anthropic => anthropic::whole(self, body)?,
            Dialect::Openai => openai::whole(self, body)?,
        }
        self.ended = true;
        Ok(())
    }
}
