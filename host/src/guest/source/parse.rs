//! Parses a text: checks its characters, depth and syntax, and computes its key.

use crate::guest::source::error::{Position, SourceError};
use crate::guest::source::limits::{MAX_OPEN_TOKENS, MAX_SOURCE_BYTES};
use crate::guest::source::refuse;
use crate::record::key::SourceKey;
use crate::system::sanitize::{self, Effect};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit_mut::VisitMut;

/// Stack of the parsing thread: 64 KiB per open token, several times the use of a debug build. Only touched pages use
/// memory.
const PARSE_STACK_BYTES: usize = MAX_OPEN_TOKENS * (64 << 10);

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A source that was parsed and passed all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    text: String,
    key: SourceKey,
}

impl Source {
    /// Parses and checks a source.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if text.len() > MAX_SOURCE_BYTES {
            return Err(SourceError::TooLarge { bytes: text.len() });
        }
        if text.trim().is_empty() {
            return Err(SourceError::Empty);
        }
        check_characters(text)?;
        // Parse on a separate thread: it needs a large stack, and source positions live in a thread-local map that only
        // grows.
        let owned = text.to_owned();
        let parsed = std::thread::Builder::new()
            .name("parse".into())
            .stack_size(PARSE_STACK_BYTES)
            .spawn(move || read(owned))
            .map_err(|e| SourceError::Parser(format!("no thread for the parser: {e}")))?;
        parsed.join().unwrap_or_else(|_| Err(SourceError::Parser("the parser failed on it".into())))
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

/// Refuses characters that show a reader another order than the compiler's. Carriage returns are layout, and some
/// languages need joiners. The lexer skips a byte order mark, which would shift every position.
fn check_characters(text: &str) -> Result<(), SourceError> {
    let is_bad = |c: char| match sanitize::effect(c) {
        Some(Effect::Controls) => c != '\r',
        Some(Effect::Reorders) => true,
        Some(Effect::Hides) => c == BYTE_ORDER_MARK,
        None => false,
    };
    for (line, words) in text.split('\n').enumerate() {
        if let Some((column, c)) = words.chars().enumerate().find(|(_, c)| is_bad(*c)) {
            return Err(SourceError::Character { at: Position { line: line + 1, column: column + 1 }, code: c.into() });
        }
    }
    Ok(())
}

fn read(text: String) -> Result<Source, SourceError> {
    let tokens: TokenStream = text.parse().map_err(|e: proc_macro2::LexError| SourceError::Syntax {
        at: e.span().start().into(),
        message: "this is no Rust token: an unclosed quote, comment or bracket".into(),
    })?;
    check_depth(tokens.clone(), 0)?;
    let scan = refuse::tokens(tokens.clone())?;
    let mut file: syn::File =
        syn::parse2(tokens).map_err(|e| SourceError::Syntax { at: e.span().start().into(), message: e.to_string() })?;
    refuse::syntax(&file)?;
    let key = if scan.sees_layout {
        key(1, &text)
    } else {
        StripDocs.visit_file_mut(&mut file);
        key(0, &prettyplease::unparse(&file))
    };
    Ok(Source { text, key })
}

/// The key of a source, independent of comments and layout. It hashes one byte (0: re-printed, 1: raw) and the text.
/// The text is the syntax tree, printed without comments and doc comments. If the source can observe its own layout
/// (`line!`, `stringify!`, panic locations through a hook or `Location`), it is the raw text.
///
/// This is sound because the key only names a cache entry: it decides whether an earlier compilation can be reused.
/// Results depend on the component's own key. Panic locations differ with layout, but a guest without the names above
/// cannot see them: they reach only messages and line tables, which no hash covers. They then refer to the text that
/// was compiled first.
fn key(form: u8, text: &str) -> SourceKey {
    let mut bytes = vec![form];
    bytes.extend_from_slice(text.as_bytes());
    SourceKey::of(&bytes)
}

/// Checks the number of open tokens against [`MAX_OPEN_TOKENS`]. An `else` reopens what its block had closed, because
/// chains of them nest.
fn check_depth(tokens: TokenStream, outer: usize) -> Result<(), SourceError> {
    let (mut open, mut before_block) = (outer, outer);
    for token in tokens {
        open += 1;
        if open > MAX_OPEN_TOKENS {
            return Err(SourceError::TooDeep { at: token.span().start().into() });
        }
        match token {
            TokenTree::Punct(p) if matches!(p.as_char(), ',' | ';') => open = outer,
            TokenTree::Ident(word) if word == "else" => open = before_block + 1,
            TokenTree::Group(group) => {
                check_depth(group.stream(), open)?;
                if group.delimiter() == Delimiter::Brace {
                    before_block = open;
                    open = outer;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes doc comments, which do not affect compilation.
struct StripDocs;

impl VisitMut for StripDocs {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<syn::Attribute>) {
        attributes.retain(|a| !a.path().is_ident("doc"));
    }
}
