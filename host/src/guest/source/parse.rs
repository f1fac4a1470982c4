//! A source that was parsed, checked and identified.

use crate::guest::source::error::SourceError;
use crate::guest::source::{key, refuse, syntax};
use crate::record::key::SourceKey;

/// A source that passed all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    text: String,
    key: SourceKey,
}

impl Source {
    /// Parses and checks a source.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let key = syntax::guarded(text, |tokens| {
            let scan = refuse::tokens(tokens.clone())?;
            let syntax = syntax::tree(text, tokens)?;
            refuse::syntax(&syntax.file)?;
            Ok(if scan.sees_layout { key::of_text(text) } else { key::of_tokens(&syntax) })
        })?;
        Ok(Self { text: text.to_owned(), key })
    }

    /// The text, unchanged.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key. It ignores comments and layout.
    pub fn key(&self) -> SourceKey {
        self.key
    }
}
