//! One line for people, as a value of a field.

use crate::community::form::NONE;
use crate::system::sanitize;
use std::fmt;
use std::str::FromStr;

/// Longest line in characters.
const MAX_CHARS: usize = 300;

/// One line of at most 300 characters, or `none`. May hold a guest's words, escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(String);

/// Text that does not read as such a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one line of at most {MAX_CHARS} characters is expected, without control characters")]
pub struct LineError;

impl Line {
    /// The first line of a text, escaped and cut.
    pub fn new(text: &str) -> Self {
        match sanitize::line(text, MAX_CHARS - 1).trim() {
            "" => Self(NONE.into()),
            line => Self(line.to_owned()),
        }
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// The text, unless it is `none`.
    pub fn words(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| *text != NONE)
    }
}

impl FromStr for Line {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let is_line = text.chars().count() <= MAX_CHARS && sanitize::printable(text) == text;
        let is_line = is_line && !text.is_empty() && !text.contains(['\t', '\n']);
        if is_line { Ok(Self(text.to_owned())) } else { Err(LineError) }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
