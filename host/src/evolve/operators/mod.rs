//! Structural operators: each finds the places of a guest where it applies and says what it would write there. They
//! propose what compiles for guests written like the seed guest; for others the compiler is the judge. Pure.

mod activation;
mod norm;
mod optimizer;
mod schedule;
mod sizes;
mod softcap;
mod windows;

use super::constants::{self, Constant, Pattern};
use super::edit::Edit;

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

/// Every structural operator.
pub const OPERATORS: &[Operator] = &[
    (activation::NAME, activation::sites),
    (norm::NAME, norm::sites),
    (windows::NAME, windows::sites),
    (sizes::DEPTH_AGAINST_WIDTH, sizes::depth_against_width),
    (sizes::BATCH_AGAINST_SEQUENCE, sizes::batch_against_sequence),
    (schedule::NAME, schedule::sites),
    (optimizer::NAME, optimizer::sites),
    (softcap::NAME, softcap::sites),
];

impl<'a> Guest<'a> {
    /// Looks at a parsed text.
    pub fn new(file: &'a syn::File, text: &'a str) -> Self {
        Self { file, text, constants: constants::find(file, text), patterns: constants::patterns(file) }
    }

    /// Functions at the top level.
    fn functions(&self) -> impl Iterator<Item = &'a syn::ItemFn> {
        self.file.items.iter().filter_map(|item| match item {
            syn::Item::Fn(function) => Some(function),
            _ => None,
        })
    }
}
