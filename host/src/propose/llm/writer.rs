//! A model as a proposer: writes a prompt, sends it, and reads and applies the answer. Failures return to the night,
//! which decides about another try.

use crate::propose::evolve::known;
use crate::propose::llm::client::Model;
use crate::propose::llm::config::ModelConfig;
use crate::propose::llm::error::OpenError;
use crate::propose::prompt::{self, Prompt};
use crate::propose::proposer::{Desk, Failed, Proposal, ProposeError, Proposer, Situation};
use crate::propose::{answer, description};

/// Bytes of an answer that are sent back to its author.
const ANSWER_BYTES: usize = 32 << 10;

#[derive(Debug)]
pub struct Writer {
    name: String,
    model: Model,
    reference: String,
}

impl Writer {
    /// Opens the model as `llm.NAME`. `reference` is the SDK reference in Markdown.
    ///
    /// # Errors
    /// The address or key cannot be used.
    pub fn open(name: &str, config: &ModelConfig, reference: impl Into<String>) -> Result<Self, OpenError> {
        Ok(Self { name: format!("llm.{name}"), model: Model::open(config)?, reference: reference.into() })
    }

    /// Asks for a change to `base`.
    fn change(&self, prompt: &Prompt, base: &str, desk: &mut Desk) -> Result<Proposal, ProposeError> {
        let text = self.model.ask(prompt, desk)?.text;
        let made = answer::read(&text).and_then(|answer| Ok((answer::apply(&answer, base)?, answer.hypothesis)));
        match made {
            Ok((source, hypothesis)) => {
                let description = description::describe(base, &source);
                Ok(Proposal { source, hypothesis, description, operator: self.name.clone(), credit: None })
            }
            Err(error) => {
                // Its author is to mend the answer, not the thoughts before it.
                let said = answer::without_thoughts(&text);
                let text = if said.trim().is_empty() { text } else { said };
                let kept = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= ANSWER_BYTES);
                let answer = text.get(..kept.last().unwrap_or(0)).unwrap_or_default().to_owned();
                Err(ProposeError::Answer { reason: error.to_string(), answer })
            }
        }
    }

    fn tokens(&self) -> u64 {
        self.model.config().prompt_tokens
    }
}

impl Proposer for Writer {
    fn name(&self) -> &str {
        &self.name
    }

    fn propose(&mut self, situation: &Situation, desk: &mut Desk) -> Result<Option<Proposal>, ProposeError> {
        let prompt = prompt::propose(situation, &known::of_situation(situation), &self.reference, self.tokens());
        self.change(&prompt, &situation.parent.source, desk).map(Some)
    }

    fn repair(
        &mut self,
        situation: &Situation,
        failed: &Failed,
        desk: &mut Desk,
    ) -> Result<Option<Proposal>, ProposeError> {
        let prompt = prompt::repair(situation, failed, &self.reference, self.tokens());
        let parent = &situation.parent.source;
        let Some(before) = &failed.proposal else { return self.change(&prompt, parent, desk).map(Some) };
        let mended = self.change(&prompt, &before.source, desk)?;
        let hypothesis = if before.hypothesis.is_empty() { mended.hypothesis } else { before.hypothesis.clone() };
        let description = description::describe(parent, &mended.source);
        Ok(Some(Proposal { hypothesis, description, ..mended }))
    }

    fn digest(&mut self, situation: &Situation, desk: &mut Desk) -> Result<Option<String>, ProposeError> {
        let text = self.model.ask(&prompt::digest(situation, self.tokens()), desk)?.text;
        Ok(prompt::read_digest(&text))
    }
}
