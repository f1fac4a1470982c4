//! Refuses what guests may not use, by tokens (macros included) and by syntax tree. Pure.
//!
//! Macros can assemble tokens in ways that a token scan cannot foresee. Names that are harmful by themselves are
//! therefore refused everywhere; the confined compiler handles the rest.

use crate::guest::source::error::{Position, SourceError};
use crate::system::sanitize;
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use std::collections::BTreeSet;
use syn::ext::IdentExt;
use syn::visit::{self, Visit};

/// Characters that are kept of the refused words.
const WHAT_CHARS: usize = 120;

const ONE_FILE: &str = "a guest is one file and reads no other; write the value into the source";
const NO_ENVIRONMENT: &str = "a guest has no environment; `lab.task()` tells what it may know";
const NO_ASSEMBLY: &str = "the target is WebAssembly; use the tensor operations";
const NO_SYMBOLS: &str = "`guest!(train, forward)` makes the only exports";
const NO_LINKING: &str = "a guest links only to guest_sdk";
const NO_CRATES: &str = "std, core, alloc and guest_sdk are all there is";

/// Names that are refused everywhere, even inside macros: an alias or a macro could move them to a place where they
/// work.
const NAMES: &[(&str, &str)] = &[
    ("include", ONE_FILE),
    ("include_str", ONE_FILE),
    ("include_bytes", ONE_FILE),
    ("debugger_visualizer", ONE_FILE),
    ("env", NO_ENVIRONMENT),
    ("option_env", NO_ENVIRONMENT),
    ("asm", NO_ASSEMBLY),
    ("naked_asm", NO_ASSEMBLY),
    ("global_asm", NO_ASSEMBLY),
    ("no_mangle", NO_SYMBOLS),
    ("export_name", NO_SYMBOLS),
    ("link_name", NO_LINKING),
    ("link_section", NO_LINKING),
    ("link_args", NO_LINKING),
    ("extern", NO_LINKING),
];

/// Names that are refused inside attributes, where they have another meaning than in code.
const IN_ATTRIBUTES: &[(&str, &str)] = &[
    ("path", ONE_FILE),
    ("link", NO_LINKING),
    ("feature", "guests are stable Rust"),
    ("proc_macro", "a guest is no compiler plugin"),
    ("proc_macro_derive", "a guest is no compiler plugin"),
    ("proc_macro_attribute", "a guest is no compiler plugin"),
];

/// Inner attributes (`#![...]`) that are allowed; doc comments are among them.
const INNER_ATTRIBUTES: &[&str] = &["allow", "doc"];

/// Names that let a program observe the layout of its own source.
const LAYOUT: &[&str] =
    &["line", "column", "file", "stringify", "dbg", "Location", "set_hook", "take_hook", "update_hook"];

/// First segments of `use` paths that always exist.
const ROOTS: &[&str] = &["std", "core", "alloc", "guest_sdk", "crate", "self", "super"];

/// Where tokens stand.
#[derive(Clone, Copy, Default)]
struct Place {
    in_attribute: bool,
    /// In a macro's definition or call, from which any syntax can be made.
    in_macro: bool,
}

/// Result of the token scan.
#[derive(Default)]
pub(super) struct Scan {
    /// The program may observe its own line and column numbers.
    pub sees_layout: bool,
}

/// Scans all tokens, including those in macros and attributes.
pub(super) fn tokens(stream: TokenStream) -> Result<Scan, SourceError> {
    let mut scan = Scan::default();
    scan.stream(stream, Place::default())?;
    Ok(scan)
}

impl Scan {
    fn stream(&mut self, stream: TokenStream, place: Place) -> Result<(), SourceError> {
        let mut tokens = stream.into_iter().peekable();
        // How much of `mod name {}` was read.
        let mut module: Option<(Span, bool)> = None;
        while let Some(token) = tokens.next() {
            module = module_goes_on(module, &token)?;
            match token {
                TokenTree::Ident(word) => {
                    self.word(&word, place)?;
                    if word == "mod" && place.in_macro {
                        return Err(refused(word.span(), "`mod` in a macro".into(), ONE_FILE));
                    }
                }
                TokenTree::Punct(mark) if mark.as_char() == '!' => {
                    // The name of a `macro_rules!`.
                    if let Some(TokenTree::Ident(name)) = tokens.next_if(|t| matches!(t, TokenTree::Ident(_))) {
                        self.word(&name, place)?;
                    }
                    if let Some(TokenTree::Group(body)) = tokens.next_if(|t| matches!(t, TokenTree::Group(_))) {
                        self.stream(body.stream(), Place { in_macro: true, ..place })?;
                    }
                }
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    let inner = tokens.next_if(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == '!')).is_some();
                    if let Some(TokenTree::Group(group)) = tokens.next_if(is_bracket) {
                        if inner {
                            inner_attribute(group.stream(), group.span())?;
                        }
                        self.stream(group.stream(), Place { in_attribute: true, ..place })?;
                    }
                }
                TokenTree::Group(group) => self.stream(group.stream(), place)?,
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        module.map_or(Ok(()), |(span, _)| Err(bodiless(span)))
    }

    fn word(&mut self, word: &Ident, place: Place) -> Result<(), SourceError> {
        let name = word.unraw().to_string();
        let find = |table: &[(&str, &'static str)]| table.iter().find(|(n, _)| *n == name).map(|(_, why)| *why);
        let why = find(NAMES).or_else(|| if place.in_attribute { find(IN_ATTRIBUTES) } else { None });
        if let Some(why) = why {
            return Err(refused(word.span(), format!("`{name}`"), why));
        }
        self.sees_layout |= LAYOUT.contains(&name.as_str());
        Ok(())
    }
}

fn is_bracket(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(g) if g.delimiter() == Delimiter::Bracket)
}

fn refused(span: Span, what: String, why: &'static str) -> SourceError {
    SourceError::Refused { at: Position::from(span.start()), what: sanitize::line(&what, WHAT_CHARS), why }
}

/// After `mod`, only `name { ... }` is allowed. Takes and returns the place of a `mod` that is not finished, and
/// whether its name was read.
fn module_goes_on(module: Option<(Span, bool)>, token: &TokenTree) -> Result<Option<(Span, bool)>, SourceError> {
    match (module, token) {
        (None, TokenTree::Ident(word)) if word == "mod" => Ok(Some((word.span(), false))),
        (None, _) => Ok(None),
        (Some((span, false)), TokenTree::Ident(_)) => Ok(Some((span, true))),
        (Some((_, true)), TokenTree::Group(g)) if g.delimiter() == Delimiter::Brace => Ok(None),
        (Some((span, _)), _) => Err(bodiless(span)),
    }
}

fn bodiless(span: Span) -> SourceError {
    refused(span, "a `mod` without its body".into(), ONE_FILE)
}

fn inner_attribute(stream: TokenStream, span: Span) -> Result<(), SourceError> {
    match stream.into_iter().next() {
        Some(TokenTree::Ident(name)) if INNER_ATTRIBUTES.contains(&name.to_string().as_str()) => Ok(()),
        Some(name) => Err(refused(span, format!("`#![{name}]`"), "only `#![allow]` and docs may stand there")),
        None => Err(refused(span, "`#![]`".into(), "it says nothing")),
    }
}

/// Checks the syntax tree for foreign crates, and for syntax that is not stable Rust.
pub(super) fn syntax(file: &syn::File) -> Result<(), SourceError> {
    let mut declared = Declared::default();
    declared.visit_file(file);
    let mut check = Check { declared: declared.0, error: None };
    check.visit_file(file);
    check.error.map_or(Ok(()), Err)
}

/// Names that the file declares in module position.
#[derive(Default)]
struct Declared(BTreeSet<String>);

impl<'a> Visit<'a> for Declared {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        self.0.insert(item.ident.to_string());
        visit::visit_item_mod(self, item);
    }
    fn visit_use_name(&mut self, name: &'a syn::UseName) {
        self.0.insert(name.ident.to_string());
    }
    fn visit_use_rename(&mut self, name: &'a syn::UseRename) {
        self.0.insert(name.rename.to_string());
    }
}

struct Check {
    declared: BTreeSet<String>,
    error: Option<SourceError>,
}

impl Check {
    fn refuse(&mut self, span: Span, what: String, why: &'static str) {
        self.error.get_or_insert_with(|| refused(span, what, why));
    }

    fn verbatim(&mut self, tokens: &TokenStream) {
        let span = tokens.clone().into_iter().next().map_or_else(Span::call_site, |t| t.span());
        self.refuse(span, "this syntax".into(), "guests are stable Rust");
    }

    /// Crate names are in snake case and type names are not. The compiler resolves types and their items.
    fn is_foreign(&self, name: &Ident, from_root: bool) -> bool {
        let name = name.unraw().to_string();
        let known = ROOTS.contains(&name.as_str()) || (!from_root && self.declared.contains(&name));
        !known && name.starts_with(|c: char| c.is_lowercase() || c == '_')
    }

    fn use_root(&mut self, tree: &syn::UseTree, from_root: bool) {
        match tree {
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_root(tree, from_root)),
            syn::UseTree::Path(path) if self.is_foreign(&path.ident, from_root) => {
                self.refuse(path.ident.span(), format!("the crate `{}`", path.ident), NO_CRATES);
            }
            _ => {}
        }
    }
}

macro_rules! refuse_verbatim {
    ($($method:ident: $node:ident,)+) => {
        $(fn $method(&mut self, node: &'a syn::$node) {
            match node {
                syn::$node::Verbatim(tokens) => self.verbatim(tokens),
                _ => visit::$method(self, node),
            }
        })+
    };
}

impl<'a> Visit<'a> for Check {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.use_root(&item.tree, item.leading_colon.is_some());
    }

    fn visit_stmt(&mut self, statement: &'a syn::Stmt) {
        // `syn` has no other representation for a lone semicolon.
        let empty = matches!(statement, syn::Stmt::Expr(syn::Expr::Verbatim(tokens), Some(_)) if tokens.is_empty());
        if !empty {
            visit::visit_stmt(self, statement);
        }
    }

    refuse_verbatim! {
        visit_expr: Expr,
        visit_item: Item,
        visit_impl_item: ImplItem,
        visit_trait_item: TraitItem,
        visit_pat: Pat,
        visit_type: Type,
        visit_type_param_bound: TypeParamBound,
    }
}
