//! Where a guest is in its own source, from the engine's frames and the component's line tables.

use crate::system::sanitize;
use std::fmt;
use wasmtime::WasmBacktrace;

/// Name of a guest's source in line tables.
pub const SOURCE: &str = "train.rs";
/// The same, for each language whose components have line tables.
const SOURCES: [&str; 2] = [SOURCE, "train.c"];
/// Characters that are kept of a function's name.
const MAX_FUNCTION: usize = 80;

/// A place in the guest's source: "train.rs:88:17 in mlp".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub source: &'static str,
    pub line: u32,
    pub column: Option<u32>,
    pub function: Option<String>,
}

impl Place {
    /// The first frame in the guest's own source.
    pub fn of(backtrace: &WasmBacktrace) -> Option<Self> {
        let symbols = backtrace.frames().iter().flat_map(|frame| frame.symbols());
        let source_of = |file: &str| SOURCES.into_iter().find(|source| file.ends_with(source));
        let (source, symbol) = symbols.into_iter().find_map(|symbol| Some((source_of(symbol.file()?)?, symbol)))?;
        let function = symbol.name().and_then(short_name);
        Some(Self {
            source,
            line: symbol.line()?,
            column: symbol.column(),
            function: function.map(|name| sanitize::cut(&name, MAX_FUNCTION, "…")),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.line)?;
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        match &self.function {
            Some(function) => write!(f, " in {function}"),
            None => Ok(()),
        }
    }
}

/// The name of a function in a mangled (`_ZN…17h…E`, `_R…`) or plain path: its last identifier that is neither a hash
/// nor a closure marker.
fn short_name(symbol: &str) -> Option<String> {
    if let Some(mangled) = symbol.strip_prefix("_ZN") {
        return legacy_segments(mangled).into_iter().rev().find(|name| is_name(name)).map(str::to_owned);
    }
    symbol.rsplit("::").find(|name| is_name(name)).map(str::to_owned)
}

fn is_name(segment: &str) -> bool {
    let hash = segment.len() == 17 && segment.starts_with('h') && segment[1..].bytes().all(|b| b.is_ascii_hexdigit());
    !hash && !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The segments of a legacy mangled path. Each is its decimal length, then its text.
fn legacy_segments(mut rest: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Some((length, tail)) = rest.split_at_checked(digits) else {
            return segments;
        };
        let Ok(length) = length.parse::<usize>() else {
            return segments;
        };
        let Some((segment, tail)) = tail.split_at_checked(length) else {
            return segments;
        };
        segments.push(segment);
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_without_hash_and_path() {
        assert_eq!(short_name("_ZN5guest3mlp17h0123456789abcdefE").as_deref(), Some("mlp"));
        assert_eq!(short_name("guest::mlp::{{closure}}").as_deref(), Some("mlp"));
        assert_eq!(short_name("_ZN999"), None);
    }
}
