//! What one server wants otherwise than most. Pure.

use crate::propose::llm::error::Wants;

/// What a server has shown that it wants. Only the chat dialect has such differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::propose::llm) struct Manners {
    /// `max_completion_tokens` in the place of `max_tokens`.
    pub(super) newer_limit: bool,
    /// No request for the counts of tokens.
    pub(super) no_usage: bool,
    /// The system prompt in the place where the user speaks.
    pub(super) no_system: bool,
    /// The answer in one piece.
    pub(super) no_stream: bool,
}

impl Manners {
    /// Learns from a refusal. Returns whether the next request differs.
    pub fn learn(&mut self, wants: Wants) -> bool {
        let manner = match wants {
            Wants::NewerLimit => &mut self.newer_limit,
            Wants::NoUsage => &mut self.no_usage,
            Wants::NoSystem => &mut self.no_system,
            Wants::NoStream => &mut self.no_stream,
        };
        !std::mem::replace(manner, true)
    }
}
