//! AdamW: betas and weight decay, in all or by group, and how often it steps.

use crate::propose::evolve::constants::{Constant, Value};
use crate::propose::evolve::operators::arguments::{set, set_argument};
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::training::training;
use crate::propose::evolve::operators::tree::Found;
use crate::propose::evolve::operators::trunk::chain;
use std::ops::Range;
use syn::{Expr, ExprMethodCall};

/// A call `.group(weights, rate)` of an AdamW.
struct Group<'a> {
    range: Range<usize>,
    /// Its name, as a prefix of constants.
    name: String,
    rate: &'a Expr,
    /// Methods called on the optimizer behind this one.
    behind: Vec<String>,
}

fn groups<'a>(guest: &Guest<'a>) -> Vec<Group<'a>> {
    let calls = guest.tree.calls_of("group").filter(|call| call.node.args.len() == 2 && is_adam(call.node));
    calls
        .map(|Found { node, range }| {
            let weights = guest.words(&node.args[0]);
            let name = weights.split('"').nth(1).unwrap_or("adam").to_uppercase();
            let name = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            Group { range: range.clone(), name, rate: &node.args[1], behind: behind(guest, node) }
        })
        .filter(|group: &Group| group.name.starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect()
}

/// Whether a chain of calls begins with `AdamW::new`.
fn is_adam(call: &ExprMethodCall) -> bool {
    let root = chain(call).last().map(|first| &*first.receiver);
    matches!(root, Some(Expr::Call(made)) if matches!(&*made.func, Expr::Path(path)
        if path.path.segments.iter().any(|segment| segment.ident == "AdamW")))
}

/// What is called on the result of `call`, up to the next group.
fn behind(guest: &Guest, call: &ExprMethodCall) -> Vec<String> {
    let mut names = Vec::new();
    let mut now = call;
    while let Some(next) = guest
        .tree
        .methods
        .iter()
        .find(|found| matches!(&*found.node.receiver, Expr::MethodCall(inner) if std::ptr::eq(inner, now)))
    {
        if next.node.method == "group" {
            break;
        }
        names.push(next.node.method.to_string());
        now = next.node;
    }
    names
}

/// A little decay for one group.
pub fn group_decay(guest: &Guest) -> Vec<Change> {
    let change = |group: &Group| {
        let (name, small) =
            (format!("{}_DECAY", group.name), if group.name.contains("HEAD") { "0.01" } else { "0.002" });
        Draft::new(guest)
            .unless(group.behind.iter().any(|method| method == "with_weight_decay"))
            .number(&name, small, &format!("AdamW: weight decay of {}", group.name.to_lowercase()))
            .append(&group.range, format!(".with_weight_decay({name})"))
            .done(format!("AdamW: a decay of {small} for {}", group.name.to_lowercase()))
    };
    groups(guest).iter().filter_map(change).collect()
}

/// Betas of their own for one group.
pub fn group_betas(guest: &Guest) -> Vec<Change> {
    let change = |group: &Group| {
        let (first, second) = (format!("{}_BETA1", group.name), format!("{}_BETA2", group.name));
        let name = group.name.to_lowercase();
        Draft::new(guest)
            .unless(group.behind.iter().any(|method| method == "with_betas"))
            .number(&first, "0.9", &format!("AdamW: decay of the first moment of {name}"))
            .number(&second, "0.98", &format!("AdamW: decay of the second moment of {name}"))
            .append(&group.range, format!(".with_betas({first}, {second})"))
            .done(format!("AdamW: betas 0.9, 0.98 for {name}"))
    };
    groups(guest).iter().filter_map(change).collect()
}

/// Another beta2 for all groups.
pub fn second_beta(guest: &Guest) -> Vec<Change> {
    let made = guest.tree.constructors("AdamW", "new").filter(|made| made.node.args.len() == 3);
    let changes = made.flat_map(|made| {
        let argument = &made.node.args[1];
        [0.9, 0.98, 0.99]
            .into_iter()
            .filter_map(|new| set_argument(guest, argument, ("ADAM_BETA2", "AdamW: decay of the second moment"), new))
    });
    changes.collect()
}

/// Constants that are rates of AdamW's groups or factors of a step's rate.
pub fn rates<'g>(guest: &'g Guest) -> Vec<&'g Constant> {
    let mut found: Vec<&Constant> = Vec::new();
    let mut add = |expr: &Expr| {
        let factors = factors(expr);
        for constant in factors.into_iter().filter_map(|factor| guest.constant(factor)) {
            if matches!(constant.value, Value::Float(_)) && !found.iter().any(|known| known.name == constant.name) {
                found.push(constant);
            }
        }
    };
    for group in groups(guest) {
        add(group.rate);
    }
    if let Some(training) = training(guest) {
        ["Muon", "AdamW"].iter().flat_map(|ty| training.steps(guest, ty)).for_each(|step| add(step.rate));
    }
    found
}

/// The factors of a product.
fn factors(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Binary(product) if matches!(product.op, syn::BinOp::Mul(_)) => {
            factors(&product.left).into_iter().chain(factors(&product.right)).collect()
        }
        Expr::Paren(inner) => factors(&inner.expr),
        _ => vec![expr],
    }
}

/// One rate up or down by a lot.
pub fn single_rates(guest: &Guest) -> Vec<Change> {
    let steps = rates(guest).into_iter().flat_map(|rate| [0.4, 0.6, 1.6, 2.5].map(|factor| (rate, factor)));
    steps.filter_map(|(rate, factor)| set(rate, rate.scaled(factor), "rate")).collect()
}

/// AdamW steps only now and then.
pub fn seldom(guest: &Guest) -> Vec<Change> {
    let change = || {
        let training = training(guest)?;
        let steps = training.steps(guest, "AdamW");
        let [step] = &steps[..] else { return None };
        let words = guest.at(&step.statement);
        Draft::new(guest)
            .constant("ADAM_EVERY", "usize", "2", "AdamW: steps of the run for one of its own")
            .before(&training.statement, "let mut turn = 0_usize;")
            .replace(
                &step.statement,
                format!("turn += 1;\n        if turn % ADAM_EVERY == 0 {{\n            {words}\n        }}"),
            )
            .done("AdamW: a step every other time")
    };
    change().into_iter().collect()
}
