//! A source that was parsed, checked and identified.

use crate::guest::source::carried::{Carried, Tokens};
use crate::guest::source::error::SourceError;
use crate::guest::source::{key, refuse, syntax, token};
use crate::record::key::SourceKey;

/// A source that passed all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    text: String,
    key: SourceKey,
    tokens: Tokens,
}

impl Source {
    /// Parses and checks a source.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let (key, tokens) = syntax::guarded(text, |tokens| {
            let scan = refuse::tokens(tokens.clone())?;
            let syntax = syntax::tree(text, tokens)?;
            refuse::syntax(&syntax.file)?;
            let tokens = token::tokens(&syntax);
            let mut carried = Tokens::of(&tokens);
            if !scan.sees_layout {
                return Ok((key::of_tokens(&tokens), carried));
            }
            carried.count_text(text);
            Ok((key::of_text(text), carried))
        })?;
        Ok(Self { text: text.to_owned(), key, tokens })
    }

    /// The text, unchanged.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key. It ignores comments and layout.
    pub fn key(&self) -> SourceKey {
        self.key
    }

    /// What it carries beyond `known`; all of it if that is `None`.
    ///
    /// # Errors
    /// The compressor got no memory. This says nothing about the source.
    pub fn carried(&self, known: Option<&Self>) -> Result<Carried, SourceError> {
        let carried = self.tokens.beyond(known.map(|known| &known.tokens));
        carried.map_err(|error| SourceError::Machine(format!("the source could not be measured: {error}")))
    }
}
