//! Where a guest declares parameters, and where it reads them.

use crate::propose::evolve::edit;
use crate::propose::evolve::operators::tree::{Found, Tree, bound_name, holds, ident, is_place, peeled};
use proc_macro2::TokenTree;
use std::ops::Range;
use syn::{Expr, ExprMethodCall, Lit};

/// The name of a parameter: `"head"`, `("q", layer)`, or `format!("q{layer}")`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The part that is the same in all layers. A placeholder stands for the layer, if the name was formatted.
    pub stems: Vec<String>,
    /// The expression for the layer.
    pub layer: Option<String>,
}

impl Key {
    /// Reads the expression of a key. A name that a loop over literals takes in turn has several stems.
    pub fn of(tree: &Tree, expr: &Expr) -> Option<Self> {
        match peeled(expr) {
            Expr::Lit(lit) => match &lit.lit {
                Lit::Str(name) => Some(Self { stems: vec![name.value()], layer: None }),
                _ => None,
            },
            Expr::Tuple(pair) if pair.elems.len() == 2 => {
                let (name, layer) = (stems(tree, pair.elems.first()?)?, pair.elems.last()?);
                let words = tree.words(layer);
                if matches!(layer, Expr::Lit(_)) {
                    return Some(Self {
                        stems: name.iter().map(|name| format!("{name}.{words}")).collect(),
                        layer: None,
                    });
                }
                Some(Self { stems: name, layer: Some(words.to_owned()) })
            }
            Expr::Unary(unary) => Self::of(tree, &unary.expr),
            Expr::Index(index) => Self::of(tree, &index.expr),
            Expr::MethodCall(call) if call.method == "as_str" => Self::of(tree, &call.receiver),
            Expr::Macro(call) if call.mac.path.is_ident("format") => formatted(call),
            _ => None,
        }
    }

    /// Whether both may name the same parameter.
    pub fn meets(&self, other: &Self) -> bool {
        self.layer.is_some() == other.layer.is_some() && self.stems.iter().any(|stem| other.stems.contains(stem))
    }
}

fn stems(tree: &Tree, name: &Expr) -> Option<Vec<String>> {
    if let Expr::Lit(lit) = peeled(name) {
        return match &lit.lit {
            Lit::Str(name) => Some(vec![name.value()]),
            _ => None,
        };
    }
    let name_range = edit::range(name);
    let name = ident(name)?;
    let around = tree.fors.iter().filter(|found| holds(&found.range, &name_range));
    let mut binding = around.filter(|found| bound_name(&found.node.pat).is_some_and(|bound| bound == name));
    let Expr::Array(array) = peeled(&binding.next_back()?.node.expr) else { return None };
    array
        .elems
        .iter()
        .map(|element| match element {
            Expr::Lit(lit) => match &lit.lit {
                Lit::Str(name) => Some(name.value()),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// `format!("q{layer}")`, with one name in braces and nothing else.
fn formatted(call: &syn::ExprMacro) -> Option<Key> {
    let mut tokens = call.mac.tokens.clone().into_iter();
    let (Some(TokenTree::Literal(literal)), None) = (tokens.next(), tokens.next()) else { return None };
    let Lit::Str(text) = Lit::new(literal) else { return None };
    let text = text.value();
    let (before, rest) = text.split_once('{')?;
    let (layer, after) = rest.split_once('}')?;
    let plain = !layer.is_empty() && layer.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let one = plain && !after.contains('{');
    one.then(|| Key { stems: vec![format!("{before}{{}}{after}")], layer: Some(layer.to_owned()) })
}

/// A statement that declares a parameter: `net.parameter("matrices", ("q", layer), random(width));`.
#[derive(Clone, Debug)]
pub struct Declaration<'a> {
    pub call: &'a ExprMethodCall,
    /// The words of the receiver.
    pub net: String,
    /// The words of the group.
    pub group: String,
    pub key: Key,
    pub init: &'a Expr,
    /// The whole statement.
    pub statement: Range<usize>,
    /// Whether it is made in each round of a loop that counts layers.
    pub is_of_each_layer: bool,
}

impl Declaration<'_> {
    /// Whether its first values are all zero.
    pub fn is_zero(&self) -> bool {
        self.made_by("zeros")
    }

    /// Whether its first values are all one number.
    pub fn is_constant(&self) -> bool {
        ["zeros", "ones", "full"].iter().any(|function| self.made_by(function))
    }

    /// Whether its first values are the result of a function of that name.
    fn made_by(&self, function: &str) -> bool {
        let Expr::Call(call) = self.init else { return false };
        let Expr::Path(path) = &*call.func else { return false };
        path.path.segments.last().is_some_and(|last| last.ident == function)
    }

    /// Whether its group is written as a literal, which other statements can use too.
    pub fn has_literal_group(&self) -> bool {
        self.group.starts_with('"')
    }
}

/// All declarations whose key can be read.
pub fn declarations<'a>(tree: &Tree<'a>) -> Vec<Declaration<'a>> {
    let calls = tree.calls_of("parameter").filter(|call| call.node.args.len() == 3);
    calls
        .filter_map(|Found { node, range }| {
            let statement = tree.statement_at(range)?;
            // A call that is only a part of its statement may be in a closure.
            if !tree.at(&statement.range).trim_end_matches(';').trim_end().eq(tree.at(range)) {
                return None;
            }
            if !is_place(&node.receiver) {
                return None;
            }
            let key = Key::of(tree, &node.args[1])?;
            let is_of_each_layer = tree.for_at(range).is_some_and(|around| {
                let direct = around.node.body.stmts.iter().any(|direct| std::ptr::eq(direct, statement.node));
                let counter = bound_name(&around.node.pat);
                direct && counter.is_some() && counter == key.layer
            });
            Some(Declaration {
                call: node,
                net: tree.words(&node.receiver).to_owned(),
                group: tree.words(&node.args[0]).to_owned(),
                key,
                init: &node.args[2],
                statement: statement.range.clone(),
                is_of_each_layer,
            })
        })
        .collect()
}

/// A place where a parameter is read: `net.weight(("q", layer))` or `net.embed("wte", tokens)`.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    pub call: &'a ExprMethodCall,
    pub range: Range<usize>,
    /// An expression for the net, of type `&Net`.
    pub net: String,
    pub key: Key,
}

/// All reads whose key and net can be told.
pub fn reads<'a>(tree: &Tree<'a>) -> Vec<Read<'a>> {
    let methods = tree.methods.iter();
    let calls = methods.filter(|c| {
        (c.node.method == "weight" && c.node.args.len() == 1) || (c.node.method == "embed" && c.node.args.len() == 2)
    });
    calls
        .filter_map(|Found { node, range }| {
            Some(Read {
                call: node,
                range: range.clone(),
                net: net_of(tree, node)?,
                key: Key::of(tree, &node.args[0])?,
            })
        })
        .collect()
}

/// The receiver of a read as an expression of type `&Net`.
fn net_of(tree: &Tree, call: &ExprMethodCall) -> Option<String> {
    if !is_place(&call.receiver) {
        return None;
    }
    let words = tree.words(&call.receiver);
    let function = tree.function_at(&edit::range(call))?;
    // A reference to a reference is taken as a reference where one is asked for.
    Some(if function.borrows(words, "Net") { words.to_owned() } else { format!("&{words}") })
}

/// The range `0..n` that a loop over layers goes through, as the words of `n`.
pub fn layers_of(tree: &Tree, over: &Expr) -> Option<String> {
    match peeled(over) {
        Expr::Range(range) => {
            let from_zero = range.start.as_ref().is_some_and(|start| tree.words(start) == "0");
            let half_open = matches!(range.limits, syn::RangeLimits::HalfOpen(_));
            let end = range.end.as_ref().filter(|_| from_zero && half_open)?;
            is_place(end).then(|| tree.words(end).to_owned())
        }
        // Some layers again: all of them come before.
        Expr::MethodCall(call) if call.method == "chain" => layers_of(tree, &call.receiver),
        _ => None,
    }
}

/// Reads a parameter of a net that is given as `&Net`.
pub fn read(net: &str, name: &str, layer: &str) -> String {
    format!("{}.weight((\"{name}\", {layer}))", net.trim_start_matches('&'))
}
