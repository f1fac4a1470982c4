//! The training loop: where batches are drawn, gradients taken and optimizers stepped.

use crate::propose::evolve::edit;
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::Guest;
use crate::propose::evolve::operators::tree::{Found, bound_name, holds, ident, is_place, peeled};
use std::ops::Range;
use syn::{Expr, ExprMethodCall, Member, Stmt};

/// Tells the model how much of the budget was used. In evaluation nothing sets it.
pub const PROGRESS: &str = "/// Share of the budget that was used, as bits of an f32, for the model; 1 in evaluation.
static PROGRESS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1.0_f32.to_bits());";

/// The loop that draws batches.
pub struct Training<'a> {
    /// The words of the lab, a place that calls `progress` and `next_batch`.
    pub lab: String,
    pub next_batch: &'a ExprMethodCall,
    /// The function that holds the loop.
    pub function: Range<usize>,
    /// The loop as a statement.
    pub statement: Range<usize>,
    /// What the loop holds, without braces.
    pub body: Range<usize>,
}

/// The training loop, if there is one alone.
pub fn training<'a>(guest: &Guest<'a>) -> Option<Training<'a>> {
    let mut draws = guest.tree.calls_of("next_batch").filter(|call| call.node.args.len() == 2);
    let (draw, None) = (draws.next()?, draws.next()) else { return None };
    is_place(&draw.node.receiver).then_some(())?;
    let function = guest.tree.function_at(&draw.range)?.range.clone();
    // `while let` draws in its condition, `loop` in its body.
    let loops = guest.tree.statements.iter().filter(|found| is_loop(found.node) && holds(&found.range, &draw.range));
    let around = loops.min_by_key(|found| found.range.len())?;
    let bodies = guest.tree.loops.iter().filter(|body| holds(&around.range, &body.range));
    let body = bodies.max_by_key(|body| body.range.len())?.range.clone();
    Some(Training {
        lab: guest.words(&draw.node.receiver).to_owned(),
        next_batch: draw.node,
        function,
        statement: around.range.clone(),
        body: body.start + 1..body.end - 1,
    })
}

fn is_loop(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Expr(Expr::While(_) | Expr::Loop(_), _))
}

/// A statement that steps an optimizer: `muon.step(&grads, MATRIX_LR * lr);`.
pub struct Step<'a> {
    pub optimizer: String,
    pub rate: &'a Expr,
    pub statement: Range<usize>,
}

impl<'a> Training<'a> {
    /// The steps of the optimizers of that type in this loop.
    pub fn steps(&self, guest: &Guest<'a>, ty: &str) -> Vec<Step<'a>> {
        let made: Vec<String> = names_of(guest, ty);
        let calls =
            guest.tree.calls_of("step").filter(|call| call.node.args.len() == 2 && holds(&self.body, &call.range));
        calls
            .filter_map(|Found { node, range }| {
                let name = last_name(&node.receiver)?;
                let statement = guest.tree.statement_at(range)?;
                let alone = guest.at(&statement.range).trim_end_matches(';').trim_end() == guest.at(range);
                (made.contains(&name) && alone && is_place(&node.receiver)).then(|| Step {
                    optimizer: guest.words(&node.receiver).to_owned(),
                    rate: &node.args[1],
                    statement: statement.range.clone(),
                })
            })
            .collect()
    }

    /// Sets [`PROGRESS`] at the start of each step.
    pub fn tell_progress<'g>(&self, guest: &Guest, draft: Draft<'g, 'a>) -> Draft<'g, 'a> {
        if guest.declares("PROGRESS") {
            return draft;
        }
        let store = format!("PROGRESS.store({}.progress().to_bits(), std::sync::atomic::Ordering::Relaxed);", self.lab);
        self.first(draft, guest, &store)
    }

    /// A statement at the start of the loop's body.
    pub fn first<'g>(&self, draft: Draft<'g, 'a>, guest: &Guest, code: &str) -> Draft<'g, 'a> {
        let statements = guest.tree.statements.iter().filter(|found| holds(&self.body, &found.range));
        // A loop that draws in its body does so first.
        let after_draw = |found: &&Found<Stmt>| found.range.start > edit::range(self.next_batch).end;
        let first =
            statements.filter(after_draw).min_by_key(|found| (found.range.start, usize::MAX - found.range.len()));
        match first {
            Some(found) => draft.before(&found.range, code),
            None => draft.unless(true),
        }
    }

    /// The statement that takes the gradients, and the name it gives them.
    pub fn gradients(&self, guest: &Guest<'a>) -> Option<(&'a syn::Local, String)> {
        let mut lets = guest.tree.lets.iter().filter(|found| holds(&self.body, &found.range));
        lets.find_map(|found| {
            let value = &found.node.init.as_ref()?.expr;
            let takes = matches!(&**value, Expr::MethodCall(call) if call.method == "backward");
            takes.then(|| Some((found.node, bound_name(&found.node.pat)?)))?
        })
    }

    /// A net in this function whose parameters are declared: an expression with a method `parameters`.
    pub fn net(&self, guest: &Guest<'a>) -> Option<String> {
        let mut groups = guest.tree.methods.iter().filter(|call| {
            let asks = call.node.method == "group" && call.node.args.len() == 1;
            (asks || call.node.method == "parameters") && holds(&self.function, &call.range)
        });
        let before = groups.find(|call| call.range.end <= self.statement.start && is_place(&call.node.receiver))?;
        Some(guest.words(&before.node.receiver).to_owned())
    }
}

/// Variables and fields that are made by `ty::new`.
fn names_of(guest: &Guest, ty: &str) -> Vec<String> {
    let mut names = Vec::new();
    for made in guest.tree.constructors(ty, "new") {
        let lets = guest.tree.lets.iter().filter(|found| holds(&found.range, &made.range));
        names.extend(lets.min_by_key(|found| found.range.len()).and_then(|found| bound_name(&found.node.pat)));
        names.extend(field_of(guest, &made.range));
    }
    names
}

/// The field of a struct literal that holds a place.
fn field_of(guest: &Guest, place: &Range<usize>) -> Option<String> {
    struct Fields<'p>(&'p Range<usize>, Option<String>);
    impl<'a> syn::visit::Visit<'a> for Fields<'_> {
        fn visit_field_value(&mut self, field: &'a syn::FieldValue) {
            if holds(&edit::range(&field.expr), self.0)
                && let Member::Named(name) = &field.member
            {
                self.1 = Some(name.to_string());
            }
            syn::visit::visit_field_value(self, field);
        }
    }
    let mut fields = Fields(place, None);
    syn::visit::Visit::visit_file(&mut fields, guest.file);
    fields.1
}

fn last_name(expr: &Expr) -> Option<String> {
    match peeled(expr) {
        Expr::Field(field) => match &field.member {
            Member::Named(name) => Some(name.to_string()),
            Member::Unnamed(_) => None,
        },
        other => ident(other),
    }
}
