//! A guest as operators see it, and the places they can edit.
use crate::propose::evolve::constants::{self, Constant, Pattern};
use crate::propose::evolve::edit::Edit;

/// A parsed guest.
pub struct Guest<'a> {
    /// The syntax tree.
    pub file: &'a syn::File,
    /// The source text that the syntax tree's spans refer to.
    pub text: &'a str,
    pub constants: Vec<Constant>,
    pub patterns: Vec<Pattern>,
}

impl<'a> Guest<'a> {
    /// Collects the constants and patterns of a parsed text.
    pub fn new(file: &'a syn::File, text: &'a str) -> Self {
        Self { file, text, constants: constants::find(file, text), patterns: constants::patterns(file) }
    }

    /// Functions at the top level.
    pub(super) fn functions(&self) -> impl Iterator<Item = &'a syn::ItemFn> {
        self.file.items.iter().filter_map(|item| match item {
            syn::Item::Fn(function) => Some(function),
            _ => None,
        })
    }
}

/// One possible change at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    pub operator: &'static str,
    /// The change in words.
    pub description: String,
    /// The edits that make the change.
    pub edits: Vec<Edit>,
}

/// A structural operator: a typed edit, and what is known about it before this host has tried it.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// Its name in proposals, the store and `host ideas`.
    pub name: &'static str,
    /// How likely it is to help at a small budget.
    pub prior: Prior,
    /// Who found what, in one line: the source, and its figure.
    pub evidence: &'static str,
    /// The places in a guest where it applies. None where it was applied already.
    pub sites: fn(&Guest) -> Vec<Site>,
}

/// How likely an operator is to help a small model that trains for seconds, before anything is measured here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prior {
    /// It cost more than it gave where it was tried at this size.
    Unlikely = 0,
    /// Reports differ, or they are of much larger models.
    Possible = 1,
    /// Several reports of a gain.
    Likely = 2,
    /// Reports of large gains at small budgets.
    VeryLikely = 3,
}

impl Prior {
    /// 0 (unlikely) to 3 (very likely).
    pub fn level(self) -> u8 {
        self as u8
    }
}
