//! Limits how deeply a text nests, before any recursive parser sees it. Works on tokens, with a stack on the heap and
//! in linear time. Groups have a bound of their own, for the compiler.
//!
//! A parser can nest with each token that it has not finished: a bracket, a sign, a `<`, a `.`, an `=`. So the bound is
//! the number of open tokens: those of every enclosing group since it last came back to its own level. It does so
//!
//! - at `;`,
//! - at `,`, unless a `<` is open or a `|` stands before it: there the comma may separate the arguments of a generic
//!   type or the parameters of a closure, both of which nest without brackets,
//! - behind a block, if the next token is a word that cannot go on with it (`{..}.f()`, `{..} + {..}`, `{..} else` do),
//! - behind an attribute, to what was open before it.

use crate::guest::source::error::SourceError;
use crate::guest::source::limits::{MAX_GROUPS, MAX_NUMBER_BYTES, MAX_OPEN_TOKENS};
use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One group that is being read.
struct Level {
    rest: IntoIter,
    /// Open tokens of the groups around it.
    outer: usize,
    /// Open tokens up to here.
    open: usize,
    /// Number of `<` that wait for their `>`.
    angles: usize,
    /// A `|` stands in the current part.
    bar: bool,
    /// The last token was a `-` or `=` that a `>` may follow as an arrow.
    before_arrow: bool,
    /// The last token was a block.
    after_block: bool,
    /// Open tokens before the `#` of an attribute that begins here.
    before_attribute: Option<usize>,
}

impl Level {
    fn new(tokens: TokenStream, outer: usize) -> Self {
        Self {
            rest: tokens.into_iter(),
            outer,
            open: outer,
            angles: 0,
            bar: false,
            before_arrow: false,
            after_block: false,
            before_attribute: None,
        }
    }

    fn come_back(&mut self) {
        (self.open, self.angles, self.bar) = (self.outer, 0, false);
    }

    /// Counts a token. Returns how many are open with it.
    fn take(&mut self, token: &TokenTree) -> usize {
        if std::mem::take(&mut self.after_block) && begins(token) {
            self.come_back();
        }
        let arrow = std::mem::take(&mut self.before_arrow);
        let attribute = self.before_attribute.take();
        let before = self.open;
        self.open += 1;
        let open = self.open;
        match token {
            TokenTree::Punct(mark) => match mark.as_char() {
                ';' => self.come_back(),
                ',' if self.angles == 0 && !self.bar => self.come_back(),
                '|' => self.bar = true,
                '<' => self.angles += 1,
                '>' if !arrow => self.angles = self.angles.saturating_sub(1),
                '-' | '=' => self.before_arrow = mark.spacing() == Spacing::Joint,
                '#' => self.before_attribute = Some(before),
                '!' => self.before_attribute = attribute,
                _ => {}
            },
            TokenTree::Group(group) => match (group.delimiter(), attribute) {
                (Delimiter::Brace, _) => self.after_block = true,
                (Delimiter::Bracket, Some(before)) => self.open = before,
                _ => {}
            },
            TokenTree::Ident(_) | TokenTree::Literal(_) => {}
        }
        open
    }
}

/// Whether a token behind a block begins something new, or else is an error. `for S {} in` would nest.
fn begins(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(word) => word != "else" && word != "as" && word != "in",
        TokenTree::Punct(mark) => matches!(mark.as_char(), '#' | '\''),
        TokenTree::Literal(_) => true,
        TokenTree::Group(_) => false,
    }
}

/// A number with more digits than any type has. The parser takes quadratic time for it.
fn is_long_number(token: &TokenTree) -> bool {
    let TokenTree::Literal(literal) = token else { return false };
    let text = literal.to_string();
    text.len() > MAX_NUMBER_BYTES && text.starts_with(|c: char| c.is_ascii_digit())
}

/// Refuses a text that nests too deeply, or whose numbers are too long.
pub(super) fn check(tokens: TokenStream) -> Result<(), SourceError> {
    let mut levels = vec![Level::new(tokens, 0)];
    while let Some(level) = levels.last_mut() {
        let Some(token) = level.rest.next() else {
            levels.pop();
            continue;
        };
        let open = level.take(&token);
        if open > MAX_OPEN_TOKENS || levels.len() > MAX_GROUPS {
            return Err(SourceError::TooDeep { at: token.span().start().into() });
        }
        if is_long_number(&token) {
            return Err(SourceError::LongNumber { at: token.span().start().into() });
        }
        if let TokenTree::Group(group) = token {
            levels.push(Level::new(group.stream(), open));
        }
    }
    Ok(())
}
