//! The function that carries the residual stream: where it embeds the tokens, its loop over layers, and its logits.

use crate::propose::evolve::edit;
use crate::propose::evolve::operators::guest::Guest;
use crate::propose::evolve::operators::parameters::{Declaration, Key, layers_of};
use crate::propose::evolve::operators::tree::{For, Found, Function, bound_name, holds, ident, is};
use proc_macro2::TokenTree;
use std::ops::Range;
use syn::{Block, Expr, ExprMethodCall, Stmt};

/// The function that embeds the tokens.
pub struct Trunk<'a> {
    pub function: Function<'a>,
    /// The call that looks the tokens up, of type `Tensor`.
    pub embed: Range<usize>,
    /// An expression of type `&Net`.
    pub net: String,
    /// The parameter that holds the tokens, of type `&Tensor`.
    pub tokens: String,
    /// The table's declaration.
    pub table: Declaration<'a>,
}

/// The loop over layers in the trunk.
pub struct Layers<'a> {
    /// The variable that holds the residual stream, a `Tensor` that may be assigned.
    pub stream: String,
    /// The variable that counts layers.
    pub layer: String,
    /// The number of layers in words.
    pub depth: String,
    pub found: &'a syn::ExprForLoop,
    pub range: Range<usize>,
    /// The statements that add to the stream.
    pub branches: Vec<Branch<'a>>,
    /// A declaration that is made once for each layer.
    pub declared: Declaration<'a>,
}

/// A statement `x = …;` in the loop over layers.
pub struct Branch<'a> {
    pub range: Range<usize>,
    pub value: &'a Expr,
}

/// The names of the two functions in `guest!(train, model);`.
pub fn exported(guest: &Guest) -> Option<(String, String)> {
    let exports = guest.file.items.iter().find_map(|item| match item {
        syn::Item::Macro(item) if item.mac.path.is_ident("guest") => Some(item.mac.tokens.clone()),
        _ => None,
    })?;
    let mut names = exports.into_iter().filter_map(|token| match token {
        TokenTree::Ident(name) => Some(name.to_string()),
        _ => None,
    });
    Some((names.next()?, names.next()?))
}

/// The trunk, if the tokens are embedded in one place alone.
pub fn trunk<'a>(guest: &Guest<'a>) -> Option<Trunk<'a>> {
    let (_, model) = exported(guest)?;
    let declared = &guest.declarations;
    let mut found: Vec<Trunk> = lookups(guest).filter_map(|lookup| trunk_of(guest, lookup, declared)).collect();
    // Value embeddings look the same up for each layer.
    found.retain(|trunk| trunk.table.key.layer.is_none());
    let by_model = found.iter().position(|trunk| trunk.function.signature.ident == model);
    match (by_model, found.len()) {
        (Some(place), _) => Some(found.swap_remove(place)),
        (None, 1) => found.pop(),
        (None, _) => None,
    }
}

/// A call that looks something up: its place, the table's read, and the indices.
struct Lookup<'a> {
    range: Range<usize>,
    net: String,
    key: Key,
    indices: &'a Expr,
}

fn lookups<'g, 'a>(guest: &'g Guest<'a>) -> impl Iterator<Item = Lookup<'a>> + 'g {
    let reads = &guest.reads;
    guest.tree.methods.iter().filter_map(move |Found { node, range }| {
        if node.method == "embed" {
            let read = reads.iter().find(|read| read.range == *range)?;
            return Some(Lookup {
                range: range.clone(),
                net: read.net.clone(),
                key: read.key.clone(),
                indices: node.args.last()?,
            });
        }
        if node.method != "embedding" || node.args.len() != 1 {
            return None;
        }
        let table = match ident(&node.receiver) {
            Some(name) => guest.tree.value_of(&name, range)?,
            None => &node.receiver,
        };
        let table = edit::range(table);
        let read = reads.iter().find(|read| read.range == table)?;
        Some(Lookup { range: range.clone(), net: read.net.clone(), key: read.key.clone(), indices: node.args.first()? })
    })
}

fn trunk_of<'a>(guest: &Guest<'a>, lookup: Lookup<'a>, declared: &[Declaration<'a>]) -> Option<Trunk<'a>> {
    let function = guest.tree.function_at(&lookup.range)?.clone();
    let tokens = ident(lookup.indices).filter(|name| function.borrows(name, "Tensor"))?;
    let table =
        declared.iter().find(|declaration| declaration.key.meets(&lookup.key) && declaration.has_literal_group())?;
    Some(Trunk { function, embed: lookup.range, net: lookup.net, tokens, table: table.clone() })
}

impl<'a> Trunk<'a> {
    /// The loop over layers, if one assigns the stream and another declares parameters for the same layers.
    pub fn layers(&self, guest: &Guest<'a>) -> Option<Layers<'a>> {
        let tree = &guest.tree;
        let mut loops = tree.fors.iter().filter(|found| holds(&self.function.range, &found.range));
        loops.find_map(|For { node, range, .. }| {
            let (layer, depth) = (bound_name(&node.pat)?, layers_of(tree, &node.expr)?);
            let (stream, branches) = branches(&node.body)?;
            let declared = guest.declarations.iter().find(|declaration| {
                let around = tree.for_at(&declaration.statement).filter(|_| declaration.is_of_each_layer);
                around.and_then(|around| layers_of(tree, &around.node.expr)).is_some_and(|words| words == depth)
            })?;
            self.is_tensor(guest, &stream, range, &branches).then(|| Layers {
                stream,
                layer,
                depth,
                found: node,
                range: range.clone(),
                branches,
                declared: declared.clone(),
            })
        })
    }

    /// Whether the stream is a tensor that this function owns, as far as the text tells.
    fn is_tensor(&self, guest: &Guest, stream: &str, at: &Range<usize>, branches: &[Branch]) -> bool {
        let starts_as = guest.tree.value_of(stream, at);
        let embeds = starts_as.is_some_and(|value| holds(&edit::range(value), &self.embed) && is_chain(value));
        starts_as.is_some() && (embeds || branches.iter().any(|branch| matches!(branch.value, Expr::Binary(_))))
    }

    /// The call at the end that makes the logits of the stream.
    pub fn logits(&self) -> Option<&'a ExprMethodCall> {
        match self.function.block.stmts.last()? {
            Stmt::Expr(Expr::MethodCall(call), None) if is_tensor_result(&self.function) => {
                chain(call).any(|call| call.method == "linear").then_some(call)
            }
            _ => None,
        }
    }
}

fn is_tensor_result(function: &Function) -> bool {
    matches!(&function.signature.output, syn::ReturnType::Type(_, ty) if is(ty, "Tensor"))
}

fn is_chain(expr: &Expr) -> bool {
    matches!(expr, Expr::MethodCall(_) | Expr::Binary(_))
}

/// A method call and those that it is called on.
pub fn chain(call: &ExprMethodCall) -> impl Iterator<Item = &ExprMethodCall> {
    std::iter::successors(Some(call), |call| match &*call.receiver {
        Expr::MethodCall(inner) => Some(inner),
        _ => None,
    })
}

/// The variable that a loop's statements assign, and these statements.
fn branches(body: &Block) -> Option<(String, Vec<Branch<'_>>)> {
    let own: Vec<String> = body
        .stmts
        .iter()
        .filter_map(|statement| match statement {
            Stmt::Local(local) => bound_name(&local.pat),
            _ => None,
        })
        .collect();
    let assigned: Vec<(String, Branch)> = body
        .stmts
        .iter()
        .filter_map(|statement| match statement {
            Stmt::Expr(Expr::Assign(assign), Some(_)) => {
                let name = ident(&assign.left).filter(|name| !own.contains(name))?;
                Some((name, Branch { range: edit::range(statement), value: &assign.right }))
            }
            _ => None,
        })
        .collect();
    let (stream, _) = assigned.last()?;
    let stream = stream.clone();
    Some((stream.clone(), assigned.into_iter().filter(|(name, _)| *name == stream).map(|(_, branch)| branch).collect()))
}
