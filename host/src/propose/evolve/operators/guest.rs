//! A guest as operators see it, and what they can change in it.

use crate::propose::evolve::constants::{self, Constant, Pattern, Value};
use crate::propose::evolve::edit::Edit;
use crate::propose::evolve::operators::parameters::{Declaration, Read, declarations, reads};
use crate::propose::evolve::operators::tree::{Tree, ident};
use std::ops::Range;
use syn::Expr;
use syn::spanned::Spanned;

/// Most calls of methods of a guest that operators look at. The seed guest has about a hundred.
const MOST_CALLS: usize = 2000;

/// A parsed guest.
pub struct Guest<'a> {
    /// The syntax tree.
    pub file: &'a syn::File,
    /// The source text that the syntax tree's spans refer to.
    pub text: &'a str,
    pub constants: Vec<Constant>,
    pub patterns: Vec<Pattern>,
    pub(super) tree: Tree<'a>,
    /// Where parameters are declared and read.
    pub(super) declarations: Vec<Declaration<'a>>,
    pub(super) reads: Vec<Read<'a>>,
}

impl<'a> Guest<'a> {
    /// Collects what operators look for in a parsed text.
    pub fn new(file: &'a syn::File, text: &'a str) -> Self {
        let tree = Tree::new(file, text);
        let (declarations, reads) = (declarations(&tree), reads(&tree));
        let (constants, patterns) = (constants::find(file, text), constants::patterns(file));
        Self { file, text, constants, patterns, tree, declarations, reads }
    }

    /// Whether it has so many calls that operators would take long: they compare calls with each other.
    pub(super) fn is_too_long(&self) -> bool {
        self.tree.methods.len() > MOST_CALLS
    }

    /// The words of a syntax node.
    pub(super) fn words(&self, node: &impl Spanned) -> &'a str {
        self.tree.words(node)
    }

    /// The words at a place.
    pub(super) fn at(&self, range: &Range<usize>) -> &'a str {
        self.tree.at(range)
    }

    /// The constant that an expression names.
    pub(super) fn constant(&self, expr: &Expr) -> Option<&Constant> {
        constants::named(&self.constants, &ident(expr)?)
    }

    /// The integer constant of that name.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        match constants::named(&self.constants, name)?.value {
            Value::Integer(value) => Some(value),
            Value::Float(_) => None,
        }
    }

    /// Whether an item of that name stands at the top level.
    pub(super) fn declares(&self, name: &str) -> bool {
        self.item(name).is_some()
    }

    /// The item of that name at the top level.
    pub(super) fn item(&self, name: &str) -> Option<&'a syn::Item> {
        self.file.items.iter().find(|item| match item {
            syn::Item::Const(item) => item.ident == name,
            syn::Item::Fn(item) => item.sig.ident == name,
            syn::Item::Static(item) => item.ident == name,
            syn::Item::Struct(item) => item.ident == name,
            syn::Item::Enum(item) => item.ident == name,
            _ => false,
        })
    }

    /// Functions at the top level.
    pub(super) fn functions(&self) -> impl Iterator<Item = &'a syn::ItemFn> {
        self.file.items.iter().filter_map(|item| match item {
            syn::Item::Fn(function) => Some(function),
            _ => None,
        })
    }
}

/// A change that an operator can make.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// In words.
    pub description: String,
    pub edits: Vec<Edit>,
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
