//! The parts of a change: its hunks, together where one needs the other. A hunk that declares a name goes with those
//! that use it, and one that opens a block with the one that closes it.

use crate::guest::source::{ITEMS, Piece};
use crate::propose::patch::merge::{Hunk, hunks};
use crate::system::sanitize;
use std::collections::{BTreeMap, BTreeSet};

/// Characters of the line that names a part.
const LINE_CHARS: usize = 60;

const KEYWORDS: &[&str] = &[
    "as", "break", "const", "continue", "crate", "else", "enum", "false", "fn", "for", "if", "impl", "in", "let",
    "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "Self", "static", "struct", "super",
    "trait", "true", "type", "use", "where", "while",
];

/// A part of a change that may be carried alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub(super) hunks: Vec<Hunk>,
    /// Lines of code that it adds and removes.
    pub added: usize,
    pub removed: usize,
    /// The first line of what it adds, or of what it removes.
    pub line: String,
    /// Whether it only gives constants other values.
    pub is_constants: bool,
}

impl Part {
    /// `+3 −1 lines, let x = smear(&x);`
    pub fn words(&self) -> String {
        format!("+{} −{} lines, {}", self.added, self.removed, self.line)
    }

    /// The part of the change back. It is known by the same line, if it only takes something away.
    pub(super) fn back(&self, before: &[Piece]) -> Self {
        let swap = |hunk: &Hunk| Hunk { old: hunk.new.clone(), new: hunk.old.clone() };
        let hunks: Vec<Hunk> = self.hunks.iter().map(swap).collect();
        let line = first_line(&hunks, before).unwrap_or_else(|| self.line.clone());
        Self { hunks, added: self.removed, removed: self.added, line, is_constants: self.is_constants }
    }
}

/// The first line of what hunks put in.
fn first_line(hunks: &[Hunk], after: &[Piece]) -> Option<String> {
    hunks.iter().flat_map(|hunk| lines(of(after, &hunk.new))).next().map(|line| cut(&line))
}

fn cut(line: &str) -> String {
    let code = line.split(" //").next().unwrap_or(line);
    sanitize::cut(code, LINE_CHARS, "…")
}

/// The lines of code of some pieces.
fn lines(pieces: &[Piece]) -> Vec<String> {
    let text: String = pieces.iter().map(Piece::text).collect();
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
    text.lines().map(str::trim).filter(is_code).map(str::to_owned).collect()
}

/// The parts of what lies between two sources, by where they begin.
pub(super) fn parts(before: &[Piece], after: &[Piece]) -> Vec<Part> {
    let hunks: Vec<Hunk> = hunks(before, after).into_iter().flat_map(|hunk| singles(hunk, before, after)).collect();
    let mut groups = Groups::new(hunks.len());
    join_blocks(&hunks, before, after, &mut groups);
    join_names(&hunks, before, after, &mut groups);
    let mut by_group = BTreeMap::<usize, Vec<Hunk>>::new();
    for (index, hunk) in hunks.into_iter().enumerate() {
        by_group.entry(groups.root(index)).or_default().push(hunk);
    }
    by_group.into_values().map(|hunks| part(hunks, before, after)).collect()
}

/// Values of constants side by side are hunks of their own.
fn singles(hunk: Hunk, before: &[Piece], after: &[Piece]) -> Vec<Hunk> {
    let (old, new) = (of(before, &hunk.old), of(after, &hunk.new));
    if old.len() != new.len() || !old.iter().zip(new).all(|(a, b)| a.is_same_but_for_literals(b)) {
        return vec![hunk];
    }
    let single = |(old, new)| Hunk { old: old..old + 1, new: new..new + 1 };
    hunk.old.zip(hunk.new).map(single).collect()
}

fn of<'a>(pieces: &'a [Piece], range: &std::ops::Range<usize>) -> &'a [Piece] {
    pieces.get(range.clone()).unwrap_or_default()
}

fn join_blocks(hunks: &[Hunk], before: &[Piece], after: &[Piece], groups: &mut Groups) {
    let opens = |pieces: &[Piece]| pieces.iter().map(Piece::opens).sum::<i64>();
    let mut open = 0;
    for (index, hunk) in hunks.iter().enumerate() {
        if open != 0 {
            groups.join(index - 1, index);
        }
        open += opens(of(after, &hunk.new)) - opens(of(before, &hunk.old));
    }
}

fn join_names(hunks: &[Hunk], before: &[Piece], after: &[Piece], groups: &mut Groups) {
    let names = |pieces: &[Piece]| -> BTreeSet<String> {
        let words = pieces.iter().flat_map(Piece::words);
        words.filter(|(word, _)| !KEYWORDS.contains(word)).map(|(word, _)| word.to_owned()).collect()
    };
    let (old_names, new_names) = (names(before), names(after));
    let mut users = BTreeMap::<&str, Vec<usize>>::new();
    let mut declared = BTreeSet::<&str>::new();
    for (index, hunk) in hunks.iter().enumerate() {
        let (old, new) = (of(before, &hunk.old), of(after, &hunk.new));
        let are_values = is_constants(hunk, before, after);
        for (word, token) in old.iter().chain(new).flat_map(Piece::words) {
            if KEYWORDS.contains(&word) {
                continue;
            }
            users.entry(word).or_default().push(index);
            // A name after a dot or a path is somebody else's.
            let is_own = !matches!(token, "." | ":");
            let is_new_or_gone = old_names.contains(word) != new_names.contains(word);
            if !are_values && (ITEMS.contains(&token) || (is_own && is_new_or_gone)) {
                declared.insert(word);
            }
        }
    }
    for users in declared.into_iter().filter_map(|name| users.get(name)) {
        users.windows(2).for_each(|pair| {
            if let [a, b] = pair {
                groups.join(*a, *b);
            }
        });
    }
}

fn is_constants(hunk: &Hunk, before: &[Piece], after: &[Piece]) -> bool {
    let (old, new) = (of(before, &hunk.old), of(after, &hunk.new));
    let is_const = |piece: &Piece| piece.words().any(|(word, _)| word == "const");
    old.len() == new.len() && old.iter().zip(new).all(|(a, b)| is_const(a) && a.is_same_but_for_literals(b))
}

fn part(hunks: Vec<Hunk>, before: &[Piece], after: &[Piece]) -> Part {
    let new: Vec<String> = hunks.iter().flat_map(|hunk| lines(of(after, &hunk.new))).collect();
    let old: Vec<String> = hunks.iter().flat_map(|hunk| lines(of(before, &hunk.old))).collect();
    let line = new.first().or(old.first()).map_or(String::new(), |line| cut(line));
    let is_constants = hunks.iter().all(|hunk| is_constants(hunk, before, after));
    Part { hunks, added: new.len(), removed: old.len(), line, is_constants }
}

/// Which hunks are together: each has the first of its group as its root.
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&self, of: usize) -> usize {
        let mut at = of;
        while let Some(next) = self.0.get(at).filter(|next| **next != at) {
            at = *next;
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(root) = self.0.get_mut(a.max(b)) {
            *root = a.min(b);
        }
    }
}
