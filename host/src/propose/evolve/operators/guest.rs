//! A guest as operators see it, and the places where they can edit it.
use crate::propose::evolve::constants::{self, Constant, Pattern};
use crate::propose::evolve::edit::Edit;

/// What operators look at.
pub struct Guest<'a> {
    /// The syntax tree.
    pub file: &'a syn::File,
    /// The text that its spans point into.
    pub text: &'a str,
    /// Its constants.
    pub constants: Vec<Constant>,
    /// Its patterns.
    pub patterns: Vec<Pattern>,
}

impl<'a> Guest<'a> {
    /// Looks at a parsed text.
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

/// A change that can be made at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The operator's name.
    pub operator: &'static str,
    /// The change in words.
    pub description: String,
    /// How to make it.
    pub edits: Vec<Edit>,
}

/// A structural operator: its name and how it finds its sites.
pub type Operator = (&'static str, fn(&Guest) -> Vec<Site>);
