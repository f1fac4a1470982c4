//! The only place that parses a text as Rust. What a stranger wrote may be built to break a parser, which is recursive:
//! so size, characters and depth are checked first, and the syntax tree lives and dies on a thread with a large stack.

use crate::guest::source::depth;
use crate::guest::source::error::{Position, SourceError};
use crate::guest::source::limits::{MAX_OPEN_TOKENS, MAX_SOURCE_BYTES};
use crate::system::sanitize::{self, Effect};
use proc_macro2::TokenStream;

/// Stack of the parsing thread: 64 KiB per open token, several times the use of a debug build. Only touched pages use
/// memory.
const STACK_BYTES: usize = MAX_OPEN_TOKENS * (64 << 10);

/// Characters that are kept of a parser's message. It may name a word of the source.
const MESSAGE_CHARS: usize = 300;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A text that was parsed. It cannot leave the function that looks at it.
pub struct Syntax<'a> {
    pub text: &'a str,
    pub file: syn::File,
    pub(super) tokens: TokenStream,
}

/// Parses a text and looks at its syntax tree.
pub fn look<R: Send>(text: &str, look: impl FnOnce(&Syntax) -> R + Send) -> Result<R, SourceError> {
    guarded(text, |tokens| Ok(look(&tree(text, tokens)?)))
}

/// Reads the tokens of a text, on a thread with a stack for its depth. The parser's map of positions belongs to the
/// thread and only grows, so it ends with it.
pub(super) fn guarded<R: Send>(
    text: &str,
    read: impl FnOnce(TokenStream) -> Result<R, SourceError> + Send,
) -> Result<R, SourceError> {
    check_text(text)?;
    let parse = || {
        let tokens: TokenStream = text.parse().map_err(|e: proc_macro2::LexError| SourceError::Syntax {
            at: e.span().start().into(),
            message: "this is no Rust token: an unclosed quote, comment or bracket".into(),
        })?;
        depth::check(tokens.clone())?;
        read(tokens)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("parse".into()).stack_size(STACK_BYTES);
        let parsing = thread
            .spawn_scoped(scope, parse)
            .map_err(|e| SourceError::Machine(format!("no thread for the parser: {e}")))?;
        parsing.join().unwrap_or(Err(SourceError::Parser))
    })
}

/// The syntax tree of tokens that [`guarded`] let pass.
pub(super) fn tree(text: &str, tokens: TokenStream) -> Result<Syntax<'_>, SourceError> {
    let file: syn::File = syn::parse2(tokens.clone()).map_err(|e| SourceError::Syntax {
        at: e.span().start().into(),
        message: sanitize::line(&e.to_string(), MESSAGE_CHARS),
    })?;
    if file.items.is_empty() {
        return Err(SourceError::Empty);
    }
    Ok(Syntax { text, file, tokens })
}

fn check_text(text: &str) -> Result<(), SourceError> {
    if text.len() > MAX_SOURCE_BYTES {
        return Err(SourceError::TooLarge { bytes: text.len() });
    }
    if text.trim().is_empty() {
        return Err(SourceError::Empty);
    }
    check_characters(text)
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
