//! Changes normalisation: removes a norm, or normalises the output of a residual branch (before, after, or both).

use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::system::sanitize;
use syn::visit::Visit;
use syn::{BinOp, Expr, ExprMethodCall};

const METHOD: &str = "rms_norm";
/// Characters of a function's name in a description.
const PLACE_CHARS: usize = 60;

pub fn sites(guest: &Guest) -> Vec<Change> {
    let mut sites = Vec::new();
    for function in &guest.tree.functions {
        let place = sanitize::cut(&function.signature.ident.to_string(), PLACE_CHARS, "…");
        let mut finder = Finder { norms: Vec::new(), branches: Vec::new(), borrowed: false };
        finder.visit_block(function.block);
        let norms = &finder.norms;
        sites.extend(norms.iter().filter_map(|(call, borrowed)| removed(guest, &place, call, *borrowed)));
        for branch in &finder.branches {
            sites.extend(added(guest, &place, branch));
        }
        let moved: Vec<Change> = finder.branches.iter().filter_map(|b| moved_behind(guest, b)).collect();
        if !moved.is_empty() {
            sites.push(Change {
                description: format!("norm in {place}: before each branch → after it"),
                edits: moved.into_iter().flat_map(|s| s.edits).collect(),
            });
        }
        let behind = finder.branches.iter().filter(|b| !is_norm(&b.right));
        let edits: Vec<Edit> = behind.map(|b| append_norm(&b.right)).collect();
        if edits.len() > 1 {
            sites.push(Change { description: format!("norm in {place}: after each branch too"), edits });
        }
    }
    sites
}

/// Finds calls of the norm, and residual branches: additions whose right side is the result of a function.
struct Finder<'a> {
    norms: Vec<(&'a ExprMethodCall, bool)>,
    branches: Vec<&'a syn::ExprBinary>,
    /// The next visited expression is only borrowed, as in `&x.rms_norm()` or a method's receiver.
    borrowed: bool,
}

impl<'a> Visit<'a> for Finder<'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        let borrowed = std::mem::take(&mut self.borrowed);
        match expr {
            Expr::MethodCall(call) => {
                if is_norm(expr) {
                    self.norms.push((call, borrowed));
                }
                self.borrowed = true;
            }
            Expr::Reference(_) => self.borrowed = true,
            Expr::Binary(sum) if matches!(sum.op, BinOp::Add(_)) && matches!(strip_norm(&sum.right), Expr::Call(_)) => {
                self.branches.push(sum);
            }
            _ => {}
        }
        match expr {
            Expr::MethodCall(call) => {
                self.visit_expr(&call.receiver);
                self.borrowed = false;
                call.args.iter().for_each(|arg| self.visit_expr(arg));
            }
            _ => syn::visit::visit_expr(self, expr),
        }
    }
}

fn is_norm(expr: &Expr) -> bool {
    matches!(expr, Expr::MethodCall(call) if call.method == METHOD && call.args.is_empty())
}

fn strip_norm(expr: &Expr) -> &Expr {
    match expr {
        Expr::MethodCall(call) if is_norm(expr) => &call.receiver,
        _ => expr,
    }
}

/// Removes a norm. A variable that would now be moved is cloned; handles are cheap.
fn removed(guest: &Guest, place: &str, call: &ExprMethodCall, borrowed: bool) -> Option<Change> {
    let receiver = edit::range(&call.receiver);
    let end = edit::range(call).end;
    let moves = !borrowed && matches!(*call.receiver, Expr::Path(_));
    let words = guest.text.get(edit::range(call))?;
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(Change {
        description: format!("norm in {place}: none on {}", shortened(words.trim_end_matches(".rms_norm()"))),
        edits: vec![Edit { range: receiver.end..end, text: if moves { ".clone()".into() } else { String::new() } }],
    })
}

fn append_norm(branch: &Expr) -> Edit {
    Edit::insert(edit::range(branch).end, format!(".{METHOD}()"))
}

/// Normalises the output of one branch.
fn added(guest: &Guest, place: &str, sum: &syn::ExprBinary) -> Option<Change> {
    if is_norm(&sum.right) {
        return None;
    }
    Some(Change {
        description: format!("norm in {place}: after {} too", callee(guest, &sum.right)?),
        edits: vec![append_norm(&sum.right)],
    })
}

/// Moves the norm from a branch's arguments to its output.
fn moved_behind(guest: &Guest, sum: &syn::ExprBinary) -> Option<Change> {
    let Expr::Call(call) = &*sum.right else {
        return None;
    };
    let mut finder = Finder { norms: Vec::new(), branches: Vec::new(), borrowed: false };
    call.args.iter().for_each(|arg| finder.visit_expr(arg));
    let (norm, borrowed) = finder.norms.first()?;
    let mut site = removed(guest, "", norm, *borrowed)?;
    site.edits.push(append_norm(&sum.right));
    Some(site)
}

fn callee<'a>(guest: &Guest<'a>, expr: &Expr) -> Option<&'a str> {
    match expr {
        Expr::Call(call) => guest.text.get(edit::range(&call.func)),
        _ => None,
    }
}

fn shortened(words: &str) -> String {
    const LONGEST: usize = 40;
    match words.chars().count() {
        0..=LONGEST => words.to_owned(),
        _ => sanitize::cut(words, LONGEST - 1, "…"),
    }
}
