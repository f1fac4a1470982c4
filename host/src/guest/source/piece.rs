//! A source in pieces that another text may have too: a statement, a field, the head of a block. A piece has its text
//! with the comments before it and behind it, so that the pieces of a source are the source. Pieces are equal if the
//! compiler sees the same.

use crate::guest::source::error::SourceError;
use crate::guest::source::syntax::{self, Syntax};
use crate::guest::source::token::{self, Token};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Before the name of an item.
pub const ITEMS: &[&str] = &["fn", "const", "static", "struct", "enum", "type", "trait", "mod"];

/// A part of a source.
#[derive(Clone, Debug)]
pub struct Piece {
    text: String,
    /// Its tokens, and where each ends in the text.
    tokens: Vec<(Token, usize)>,
    /// The name of the item that it closes: all closing brackets look the same.
    closes: Option<String>,
}

/// The pieces of a source, in their order.
///
/// # Errors
/// The text does not parse.
pub fn pieces(text: &str) -> Result<Vec<Piece>, SourceError> {
    syntax::look(text, of)
}

impl Piece {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its names, keywords and quoted texts, by which guests name parameters; and the token before each.
    pub fn words(&self) -> impl Iterator<Item = (&str, &str)> {
        let before = std::iter::once("").chain(self.seen().map(|token| token.text.as_str()));
        let words = self.seen().zip(before).filter(|(token, _)| token.is_word() || token.text.starts_with('"'));
        words.map(|(token, before)| (token.text.as_str(), before))
    }

    /// How many blocks and brackets it opens more than it closes.
    pub fn opens(&self) -> i64 {
        self.tokens.iter().map(|(token, _)| i64::from(token.is_group()) - i64::from(token.is_end())).sum()
    }

    /// Whether two pieces differ in literals alone.
    pub fn is_same_but_for_literals(&self, other: &Self) -> bool {
        let mut pairs = self.tokens.iter().zip(&other.tokens);
        self.tokens.len() == other.tokens.len()
            && pairs.all(|((a, _), (b, _))| a == b || (a.is_literal() && b.is_literal()))
    }

    /// Its tokens as pieces of their own. What stands before a token goes with it.
    pub fn split(&self) -> Vec<Self> {
        let mut at = 0;
        let last = self.tokens.len().saturating_sub(1);
        let piece = |(index, (token, end)): (usize, &(Token, usize))| {
            let end = if index == last { self.text.len() } else { *end };
            let text = self.text.get(at..end).unwrap_or_default().to_owned();
            at = end;
            Self { tokens: vec![(token.clone(), text.len())], text, closes: None }
        };
        self.tokens.iter().enumerate().map(piece).collect()
    }

    fn seen(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().map(|(token, _)| token)
    }

    /// The name that it declares as an item.
    fn declares(&self) -> Option<String> {
        let mut words = self.words();
        words.find(|(_, before)| ITEMS.contains(before)).map(|(name, _)| name.to_owned())
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.closes == other.closes && self.seen().eq(other.seen())
    }
}

impl Eq for Piece {}

impl PartialOrd for Piece {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Piece {
    fn cmp(&self, other: &Self) -> Ordering {
        self.closes.cmp(&other.closes).then_with(|| self.seen().cmp(other.seen()))
    }
}

impl Hash for Piece {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.closes.hash(state);
        self.seen().for_each(|token| token.hash(state));
    }
}

fn of(syntax: &Syntax) -> Vec<Piece> {
    let tokens = token::placed(syntax);
    let last = tokens.len().saturating_sub(1);
    let mut cut = Cut { text: syntax.text, start: 0, open: Vec::new(), pieces: Vec::new() };
    // The groups around a token; a file is like a block.
    let mut around = vec![Group { is_block: true, item: None }];
    for (index, (token, end)) in tokens.into_iter().enumerate() {
        let in_block = around.last().is_none_or(|group| group.is_block);
        let opens_block = token.is_group() && token.text == "{";
        let closes_block = token.is_end() && in_block;
        let separates = in_block && token.is_mark() && matches!(token.text.as_str(), ";" | ",");
        let opens = token.is_group();
        if closes_block {
            // The value of a block is a piece beside its end.
            cut.here(None);
        }
        let closed = if token.is_end() { around.pop() } else { None };
        cut.open.push((token, end));
        if index == last {
            cut.at(syntax.text.len(), None);
        } else if opens_block || closes_block || separates {
            cut.here(closed.and_then(|group| group.item));
        }
        if opens {
            let item = cut.pieces.last().filter(|_| opens_block).and_then(Piece::declares);
            around.push(Group { is_block: opens_block, item });
        }
    }
    cut.pieces
}

struct Group {
    is_block: bool,
    /// The name of the item whose block it is.
    item: Option<String>,
}

/// Cuts a text behind tokens.
struct Cut<'a> {
    text: &'a str,
    /// Where the open piece starts.
    start: usize,
    /// Its tokens, and where each ends in the text.
    open: Vec<(Token, usize)>,
    pieces: Vec<Piece>,
}

impl Cut<'_> {
    /// Cuts behind the last token and what else is on its line.
    fn here(&mut self, closes: Option<String>) {
        if let Some((_, end)) = self.open.last() {
            self.at(end_of_line(self.text, *end), closes);
        }
    }

    fn at(&mut self, end: usize, closes: Option<String>) {
        let text = self.text.get(self.start..end).unwrap_or_default().to_owned();
        let tokens = self.open.drain(..).map(|(token, end)| (token, end.saturating_sub(self.start))).collect();
        self.pieces.push(Piece { text, tokens, closes });
        self.start = end;
    }
}

/// The end of the line, if nothing but blanks or a comment stands between.
fn end_of_line(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let line = rest.split_inclusive('\n').next().unwrap_or_default();
    let words = line.trim();
    if words.is_empty() || words.starts_with("//") { from + line.len() } else { from }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! Doc.\nconst A: [f32; 2] = [1.0, 2.0]; // a, b; c\n\n/// Says.\nfn f(x: u32, y: u32) -> u32 {\n    // why\n    let z = g(|a| { a; }, y); h(z)\n}\n";

    #[test]
    fn pieces_are_the_source() {
        let found = pieces(TEXT).unwrap();
        let texts: Vec<&str> = found.iter().map(Piece::text).collect();
        assert_eq!(
            texts,
            [
                "//! Doc.\nconst A: [f32; 2] = [1.0, 2.0]; // a, b; c\n",
                "\n/// Says.\nfn f(x: u32, y: u32) -> u32 {\n",
                "    // why\n    let z = g(|a| {",
                " a;",
                " }",
                ", y);",
                " h(z)\n",
                "}\n",
                "",
            ]
        );
        assert_eq!(texts.concat(), TEXT);
        for piece in &found {
            assert_eq!(piece.split().iter().map(Piece::text).collect::<String>(), piece.text());
        }
        assert_eq!(found.iter().map(Piece::opens).collect::<Vec<_>>(), [0, 1, 2, 0, -1, -1, 0, -1, -1]);
    }

    #[test]
    fn pieces_are_equal_if_the_compiler_sees_the_same() {
        let other = TEXT.replace("// why\n", "").replace("/// Says.\n", "").replace("y: u32)", "y : u32)");
        assert_eq!(pieces(TEXT).unwrap(), pieces(&other).unwrap());
        assert_ne!(pieces(TEXT).unwrap(), pieces(&TEXT.replace("1.0", "1.5")).unwrap());
    }
}
