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

/// A structural operator: its name, and the function that finds its sites.
pub type Operator = (&'static str, fn(&Guest) -> Vec<Site>);
