//! The syntax of a guest as lists, so that an operator can ask where something stands: which calls there are, and which
//! function, loop or statement holds a place.

use crate::propose::evolve::edit;
use std::ops::Range;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Expr, ExprCall, ExprForLoop, ExprMethodCall, FnArg, Local, Pat, Signature, Stmt, Type};

/// A syntax node and its byte range.
#[derive(Clone, Debug)]
pub struct Found<'a, T> {
    pub node: &'a T,
    pub range: Range<usize>,
}

impl<'a, T: Spanned> Found<'a, T> {
    fn new(node: &'a T) -> Self {
        Self { node, range: edit::range(node) }
    }
}

/// A function at the top level or in an `impl`.
#[derive(Clone, Debug)]
pub struct Function<'a> {
    pub signature: &'a Signature,
    pub block: &'a Block,
    pub range: Range<usize>,
}

impl<'a> Function<'a> {
    /// The parameters that are plain names, with their types.
    pub fn parameters(&self) -> impl Iterator<Item = (String, &'a Type)> {
        self.signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => match &*typed.pat {
                Pat::Ident(name) => Some((name.ident.to_string(), &*typed.ty)),
                _ => None,
            },
            FnArg::Receiver(_) => None,
        })
    }

    /// Whether it takes a reference to `ty` by that name.
    pub fn borrows(&self, name: &str, ty: &str) -> bool {
        self.parameters()
            .any(|(n, t)| n == name && matches!(t, Type::Reference(r) if r.mutability.is_none() && is(&r.elem, ty)))
    }
}

/// Whether a type is a path that ends in `name`.
pub fn is(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

/// A `for` loop.
#[derive(Clone, Debug)]
pub struct For<'a> {
    pub node: &'a ExprForLoop,
    pub range: Range<usize>,
    pub body: Range<usize>,
}

/// Everything that operators look for, in the order of the text.
#[derive(Debug, Default)]
pub struct Tree<'a> {
    /// The text that ranges refer to.
    pub text: &'a str,
    pub functions: Vec<Function<'a>>,
    pub methods: Vec<Found<'a, ExprMethodCall>>,
    pub calls: Vec<Found<'a, ExprCall>>,
    pub lets: Vec<Found<'a, Local>>,
    pub statements: Vec<Found<'a, Stmt>>,
    pub fors: Vec<For<'a>>,
    /// Bodies of `for`, `while` and `loop`.
    pub loops: Vec<Found<'a, Block>>,
}

impl<'a> Tree<'a> {
    pub fn new(file: &'a syn::File, text: &'a str) -> Self {
        let mut tree = Self { text, ..Self::default() };
        tree.visit_file(file);
        // What holds something stands before it, so that a search can go back from a place.
        tree.statements.sort_by_key(|found| found.range.start);
        tree.fors.sort_by_key(|found| found.body.start);
        tree
    }

    /// The words of a syntax node.
    pub fn words(&self, node: &impl Spanned) -> &'a str {
        self.at(&edit::range(node))
    }

    /// The words at a place.
    pub fn at(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// Calls of a method by name.
    pub fn calls_of<'t>(&'t self, method: &'t str) -> impl Iterator<Item = &'t Found<'a, ExprMethodCall>> {
        self.methods.iter().filter(move |call| call.node.method == method)
    }

    /// Calls of `Type::function`.
    pub fn constructors<'t>(&'t self, ty: &'t str, function: &'t str) -> impl Iterator<Item = &'t Found<'a, ExprCall>> {
        self.calls.iter().filter(move |call| {
            let Expr::Path(path) = &*call.node.func else { return false };
            let mut names = path.path.segments.iter().rev();
            names.next().is_some_and(|last| last.ident == function)
                && names.next().is_some_and(|owner| owner.ident == ty)
        })
    }

    /// The function that holds a place.
    pub fn function_at(&self, place: &Range<usize>) -> Option<&Function<'a>> {
        self.functions.iter().find(|function| holds(&function.range, place))
    }

    pub fn function(&self, name: &str) -> Option<&Function<'a>> {
        self.functions.iter().find(|function| function.signature.ident == name)
    }

    /// The innermost statement that holds a place.
    pub fn statement_at(&self, place: &Range<usize>) -> Option<&Found<'a, Stmt>> {
        let before = self.statements.partition_point(|found| found.range.start <= place.start);
        self.statements.get(..before)?.iter().rev().find(|found| holds(&found.range, place))
    }

    /// The innermost `for` loop whose body holds a place.
    pub fn for_at(&self, place: &Range<usize>) -> Option<&For<'a>> {
        let before = self.fors.partition_point(|found| found.body.start <= place.start);
        self.fors.get(..before)?.iter().rev().find(|found| holds(&found.body, place))
    }

    /// What the nearest `let` before `at`, in the same function, gave this name.
    pub fn value_of(&self, name: &str, at: &Range<usize>) -> Option<&'a Expr> {
        let function = self.function_at(at)?;
        let before =
            self.lets.iter().filter(|found| holds(&function.range, &found.range) && found.range.end <= at.start);
        let mut bound = before.filter(|found| bound_name(&found.node.pat).is_some_and(|bound| bound == name));
        Some(&*bound.next_back()?.node.init.as_ref()?.expr)
    }
}

/// Whether `outer` holds `inner`.
pub fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The name that a pattern binds, if it is a single one.
pub fn bound_name(pat: &Pat) -> Option<String> {
    match pat {
        Pat::Ident(name) if name.subpat.is_none() => Some(name.ident.to_string()),
        Pat::Type(typed) => bound_name(&typed.pat),
        _ => None,
    }
}

/// The name of an expression that is a single identifier.
pub fn ident(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        Expr::Paren(inner) => ident(&inner.expr),
        _ => None,
    }
}

/// An expression without the references and brackets around it.
pub fn peeled(expr: &Expr) -> &Expr {
    match expr {
        Expr::Reference(reference) => peeled(&reference.expr),
        Expr::Paren(inner) => peeled(&inner.expr),
        _ => expr,
    }
}

/// Names and fields alone: an expression that may be written again without computing anything again.
pub fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) => true,
        Expr::Field(field) => is_place(&field.base),
        Expr::Reference(reference) => is_place(&reference.expr),
        Expr::Paren(inner) => is_place(&inner.expr),
        _ => false,
    }
}

impl<'a> Visit<'a> for Tree<'a> {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.functions.push(Function { signature: &item.sig, block: &item.block, range: edit::range(item) });
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.functions.push(Function { signature: &item.sig, block: &item.block, range: edit::range(item) });
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        // Receivers come first, as they are evaluated.
        visit::visit_expr_method_call(self, call);
        self.methods.push(Found::new(call));
    }

    fn visit_expr_call(&mut self, call: &'a ExprCall) {
        visit::visit_expr_call(self, call);
        self.calls.push(Found::new(call));
    }

    fn visit_local(&mut self, local: &'a Local) {
        self.lets.push(Found::new(local));
        visit::visit_local(self, local);
    }

    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.statements.push(Found::new(statement));
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_for_loop(&mut self, found: &'a ExprForLoop) {
        let body = Found::new(&found.body);
        self.fors.push(For { node: found, range: edit::range(found), body: body.range.clone() });
        self.loops.push(body);
        visit::visit_expr_for_loop(self, found);
    }

    fn visit_expr_while(&mut self, found: &'a syn::ExprWhile) {
        self.loops.push(Found::new(&found.body));
        visit::visit_expr_while(self, found);
    }

    fn visit_expr_loop(&mut self, found: &'a syn::ExprLoop) {
        self.loops.push(Found::new(&found.body));
        visit::visit_expr_loop(self, found);
    }
}
