//! Edits on byte ranges of a source, which are found in its syntax tree. Comments and layout stay. Pure.

use std::ops::Range;
use syn::spanned::Spanned;

/// Replaces the bytes of `range` with `text`. An empty range inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Byte range in the original text.
    pub range: Range<usize>,
    /// The replacement.
    pub text: String,
}

impl Edit {
    /// Replaces a syntax node.
    pub fn replace(node: &impl Spanned, text: impl Into<String>) -> Self {
        Self { range: range(node), text: text.into() }
    }

    /// Inserts at a byte offset.
    pub fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { range: at..at, text: text.into() }
    }
}

/// The byte range of a syntax node.
pub fn range(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

/// Applies all edits, in any order. `None` if two edits overlap or one is outside of the text.
pub fn apply(text: &str, edits: &[Edit]) -> Option<String> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|e| (e.range.start, e.range.end));
    let mut out = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in sorted {
        out.push_str(text.get(at..edit.range.start)?);
        out.push_str(&edit.text);
        at = edit.range.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::source;

    #[test]
    fn edits_apply_in_any_order() {
        let edits = [Edit { range: 4..5, text: "two".into() }, Edit::insert(0, "> ")];
        assert_eq!(apply("one 2 three", &edits).unwrap(), "> one two three");
    }

    #[test]
    fn bad_edits_are_refused() {
        let edit = |range| Edit { range, text: String::new() };
        assert_eq!(apply("abc", &[edit(0..2), edit(1..3)]), None);
        assert_eq!(apply("abc", &[edit(2..9)]), None);
        assert_eq!(apply("é", &[edit(1..2)]), None);
    }

    #[test]
    fn spans_count_bytes() {
        let text = "// é → ü\nfn f() { g(1) }";
        let first = source::look(text, |syntax| range(&syntax.file.items[0])).unwrap();
        assert_eq!(&text[first], "fn f() { g(1) }");
    }
}
