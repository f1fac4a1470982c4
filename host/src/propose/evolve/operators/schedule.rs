//! Changes the learning-rate schedule: the function from progress to a factor. What divides in it is the share of the
//! budget over which rates fall, and its other numbers are what is left at the end.

use crate::propose::evolve::constants::{self, Constant, Value};
use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::arguments::set;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::steps;
use crate::propose::evolve::operators::tree::ident;
use syn::visit::Visit;
use syn::{BinOp, Expr, FnArg, Pat, ReturnType, Stmt, Type};

/// Shapes by name: function bodies with `{p}` (progress), `{warmdown}`, `{last}` (final factor) and `{float}` (its
/// type). The square-root shape is `1 − √t` of Hägele et al., 2024.
const SHAPES: &[(&str, &str)] = &[
    (
        "flat, then linear",
        "    let left = ((1.0 - {p}) / {warmdown}).clamp(0.0, 1.0);\n    {last} + (1.0 - {last}) * left\n",
    ),
    (
        "flat, then cosine",
        "    let left = ((1.0 - {p}) / {warmdown}).min(1.0);\n    {last} + (1.0 - {last}) * 0.5 * (1.0 - (core::{float}::consts::PI * left).cos())\n",
    ),
    (
        "flat, then 1 − √t",
        "    let gone = 1.0 - ((1.0 - {p}) / {warmdown}).min(1.0);\n    {last} + (1.0 - {last}) * (1.0 - gone.sqrt())\n",
    ),
    ("linear from the start", "    {last} + (1.0 - {last}) * (1.0 - {p})\n"),
    ("cosine from the start", "    {last} + (1.0 - {last}) * 0.5 * (1.0 + (core::{float}::consts::PI * {p}).cos())\n"),
];

const WARMUP: &str = "WARMUP";

/// The schedule function, and the names that its shapes use.
struct Schedule<'a> {
    function: &'a syn::ItemFn,
    progress: String,
    float: String,
}

pub fn sites(guest: &Guest) -> Vec<Change> {
    let Some(schedule) = schedule(guest) else {
        return Vec::new();
    };
    let block = edit::range(&schedule.function.block);
    let Some(body) = guest.text.get(block.start + 1..block.end.saturating_sub(1)) else {
        return Vec::new();
    };
    let written: Vec<(&str, String)> =
        SHAPES.iter().map(|(name, body)| (*name, fill(guest, &schedule, body))).collect();
    let now = written.iter().find(|(_, b)| same(b, body)).map_or("as written", |(name, _)| name);
    let others = written.iter().filter(|(name, _)| *name != now).map(|(name, new)| Change {
        description: format!("schedule: {now} → {name}"),
        edits: vec![Edit { range: block.start + 1..block.end - 1, text: format!("\n{new}") }],
    });
    others.collect()
}

/// The schedule of a guest: the function that is called with the progress, or the one of that name.
fn schedule<'a>(guest: &Guest<'a>) -> Option<Schedule<'a>> {
    let given = guest.tree.calls.iter().filter(|call| {
        let argument = call.node.args.first().filter(|_| call.node.args.len() == 1);
        matches!(argument, Some(Expr::MethodCall(inner)) if inner.method == "progress" && inner.args.is_empty())
    });
    let called: Vec<String> = given.filter_map(|call| ident(&call.node.func)).collect();
    let mut functions =
        guest.functions().filter(|f| f.sig.ident == "schedule" || called.iter().any(|name| f.sig.ident == name));
    functions.find_map(as_schedule)
}

fn as_schedule(function: &syn::ItemFn) -> Option<Schedule<'_>> {
    if function.sig.inputs.len() != 1 {
        return None;
    }
    let FnArg::Typed(argument) = function.sig.inputs.first()? else {
        return None;
    };
    let Pat::Ident(name) = &*argument.pat else {
        return None;
    };
    let ReturnType::Type(_, result) = &function.sig.output else {
        return None;
    };
    let float = float(&argument.ty)?;
    (float == self::float(result)?).then(|| Schedule { function, progress: name.ident.to_string(), float })
}

fn float(ty: &Type) -> Option<String> {
    let Type::Path(path) = ty else { return None };
    path.path.get_ident().map(ToString::to_string).filter(|name| name == "f32" || name == "f64")
}

fn fill(guest: &Guest, schedule: &Schedule, body: &str) -> String {
    let (warmdown, last) = numbers(guest, schedule);
    body.replace("{p}", &schedule.progress)
        .replace("{warmdown}", warmdown.map_or("0.5", |constant| &constant.name))
        .replace("{last}", last.map_or("0.05", |constant| &constant.name))
        .replace("{float}", &schedule.float)
}

/// The constant that divides in the schedule, and the other one.
fn numbers<'g>(guest: &'g Guest, schedule: &Schedule) -> (Option<&'g Constant>, Option<&'g Constant>) {
    struct Named(Vec<String>, Vec<String>);
    impl<'a> Visit<'a> for Named {
        fn visit_expr_binary(&mut self, binary: &'a syn::ExprBinary) {
            if matches!(binary.op, BinOp::Div(_)) {
                self.0.extend(ident(&binary.right));
            }
            syn::visit::visit_expr_binary(self, binary);
        }

        fn visit_expr_path(&mut self, path: &'a syn::ExprPath) {
            self.1.extend(path.path.get_ident().map(ToString::to_string));
        }
    }
    let mut named = Named(Vec::new(), Vec::new());
    named.visit_block(&schedule.function.block);
    let Named(divisors, all) = named;
    let float = |name: &String| {
        let constant = constants::named(&guest.constants, name)?;
        matches!(constant.value, Value::Float(_)).then_some(constant)
    };
    // A warm-up divides too.
    let mut warmdowns = divisors.iter().filter(|name| !name.contains("WARMUP")).filter_map(float);
    let mut others = all.iter().filter(|name| !divisors.contains(name)).filter_map(float);
    // A schedule that never divides may still have its constant.
    let left_over = || float(&"WARMDOWN".to_owned());
    (warmdowns.next().or_else(left_over), others.next())
}

/// The share of the budget over which rates fall, set to what others use.
pub fn warm_down(guest: &Guest) -> Vec<Change> {
    let Some(constant) = schedule(guest).and_then(|schedule| numbers(guest, &schedule).0) else { return Vec::new() };
    [0.4, 0.6, 0.75, 0.9].into_iter().filter_map(|new| set(constant, Value::Float(new), "schedule")).collect()
}

/// What is left of a rate at the end.
pub fn final_rate(guest: &Guest) -> Vec<Change> {
    let Some(constant) = schedule(guest).and_then(|schedule| numbers(guest, &schedule).1) else { return Vec::new() };
    [0.0, 0.05, 0.1].into_iter().filter_map(|new| set(constant, Value::Float(new), "schedule")).collect()
}

/// Whether two texts differ only in white space.
fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// Rates rise linearly over the first share of the budget. The share is a new constant, which can be searched later.
pub fn warm_up(guest: &Guest) -> Vec<Change> {
    match schedule(guest) {
        Some(schedule) => warm_up_in(guest, &schedule).into_iter().collect(),
        None => steps::warm_up(guest),
    }
}

fn warm_up_in(guest: &Guest, schedule: &Schedule) -> Option<Change> {
    let Some(Stmt::Expr(tail, None)) = schedule.function.block.stmts.last() else {
        return None;
    };
    if guest.text.contains(WARMUP) {
        return None;
    }
    let tail = edit::range(tail);
    let (progress, float) = (&schedule.progress, &schedule.float);
    let constant = format!("const {WARMUP}: {float} = 0.02; // share of the budget over which rates rise\n\n");
    Some(Change {
        description: "schedule: a warm-up over 2% of the budget".into(),
        edits: vec![
            Edit::insert(edit::range(schedule.function).start, constant),
            Edit::insert(tail.start, format!("let warmup = ({progress} / {WARMUP}).min(1.0);\n    warmup * ({{ ")),
            Edit::insert(tail.end, " })"),
        ],
    })
}
