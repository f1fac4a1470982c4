//! A fault in a TOML file: its place, the reason, and the nearest remedy.

use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Name or path of the file.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The whole line.
    pub text: String,
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
        Self {
            file: file.into(),
            line: before.matches('\n').count() + 1,
            column,
            text: text.into(),
            width: marked.chars().count().max(1),
            reason,
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
        write!(f, "  {gutter} | {}{}", " ".repeat(self.column - 1), "^".repeat(self.width))?;
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
