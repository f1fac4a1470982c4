//! A fault in a TOML file: its place, the reason, and the nearest remedy.

use crate::system::sanitize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Longest part of a line that is shown, and longest reason, in characters.
const LINE_CHARS: usize = 160;
const REASON_CHARS: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Name or path of the file.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The line, or the part of a long line around the place.
    pub text: String,
    /// Number of characters of `text` before the place.
    pub indent: usize,
    /// Number of characters to underline.
    pub width: usize,
    pub reason: String,
    /// The remedy.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(file: &str, source: &str, span: Range<usize>, reason: String, help: Option<String>) -> Self {
        let before = source.get(..span.start).unwrap_or(source);
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let text = source.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        let marked = source.get(span).and_then(|s| s.lines().next()).unwrap_or_default();
        let is_long = text.chars().nth(LINE_CHARS).is_some();
        let left_out = if is_long { (column - 1).saturating_sub(LINE_CHARS / 2) } else { 0 };
        let text: String = text.chars().skip(left_out).take(LINE_CHARS).collect();
        let indent = column - 1 - left_out;
        let width = marked.chars().count().min(text.chars().count().saturating_sub(indent)).max(1);
        let line = before.matches('\n').count() + 1;
        Self {
            file: file.into(),
            line,
            column,
            text,
            indent,
            width,
            reason: sanitize::line(&reason, REASON_CHARS),
            help,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.reason)?;
        writeln!(f, "  {number} | {}", self.text)?;
        write!(f, "  {gutter} | {}{}", " ".repeat(self.indent), "^".repeat(self.width))?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Parses the text of a TOML file into `T`.
pub(super) fn parse_toml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Box<Diagnostic>> {
    toml::from_str(text).map_err(|error| {
        let reason = error.message().lines().next().unwrap_or("not valid TOML").to_owned();
        let help = nearest(&reason).map(|name| format!("did you mean `{name}`?"));
        let span = error.span().unwrap_or(0..0);
        Box::new(Diagnostic::new(file, text, span, reason, help))
    })
}

/// The known name nearest to the unknown one, from a message of the form "unknown field `a`, expected one of `b`, `c`".
fn nearest(message: &str) -> Option<&str> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once('`')?;
    let unknown = Some(unknown).filter(|unknown| unknown.len() <= LINE_CHARS)?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    similar::get_close_matches(unknown, &known, 1, 0.5).into_iter().next()
}

/// The place of the value at a dotted field path, or of the table that lacks it.
pub(super) fn locate(text: &str, path: &str) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let mut names = path.split('.');
    let mut value = table.get_ref().get(names.next()?)?;
    for name in names {
        let DeValue::Table(inner) = value.get_ref() else { break };
        let Some(found) = inner.get(name) else { break };
        value = found;
    }
    Some(value.span())
}
