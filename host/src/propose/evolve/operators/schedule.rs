//! Changes the shape of the learning-rate schedule, or adds a warm-up. The schedule is the function `schedule` from
//! progress to a factor. The constants WARMDOWN and FINAL_LR keep their meaning if they exist.

use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::guest::{Guest, Site};
use syn::{FnArg, Pat, ReturnType, Stmt, Type};

pub const NAME: &str = "schedule";

/// Shapes by name: function bodies with `{p}` (progress), `{warmdown}`, `{last}` (final factor) and `{float}` (its
/// type). The square-root shape is `1 − √t` of Hägele et al., 2024.
const SHAPES: &[(&str, &str)] = &[
    ("flat, then linear", "    let left = ((1.0 - {p}) / {warmdown}).min(1.0);\n    {last} + (1.0 - {last}) * left\n"),
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

pub fn sites(guest: &Guest) -> Vec<Site> {
    let Some(schedule) = guest.functions().find_map(as_schedule) else {
        return Vec::new();
    };
    let block = edit::range(&schedule.function.block);
    let Some(body) = guest.text.get(block.start + 1..block.end.saturating_sub(1)) else {
        return Vec::new();
    };
    let written: Vec<(&str, String)> =
        SHAPES.iter().map(|(name, body)| (*name, fill(guest, &schedule, body))).collect();
    let now = written.iter().find(|(_, b)| same(b, body)).map_or("as written", |(name, _)| name);
    let mut sites: Vec<Site> = written
        .iter()
        .filter(|(name, _)| *name != now)
        .map(|(name, new)| Site {
            operator: NAME,
            description: format!("schedule: {now} → {name}"),
            edits: vec![Edit { range: block.start + 1..block.end - 1, text: format!("\n{new}") }],
        })
        .collect();
    sites.extend(warm_up(guest, &schedule));
    sites
}

fn as_schedule(function: &syn::ItemFn) -> Option<Schedule<'_>> {
    if function.sig.ident != "schedule" || function.sig.inputs.len() != 1 {
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
    let declared = |name: &'static str| {
        guest.file.items.iter().any(|item| matches!(item, syn::Item::Const(c) if c.ident == name)).then_some(name)
    };
    body.replace("{p}", &schedule.progress)
        .replace("{warmdown}", declared("WARMDOWN").unwrap_or("0.5"))
        .replace("{last}", declared("FINAL_LR").unwrap_or("0.05"))
        .replace("{float}", &schedule.float)
}

/// Whether two texts differ only in white space.
fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

/// Rates rise linearly over the first share of the budget. The share is a new constant, which can be searched later.
fn warm_up(guest: &Guest, schedule: &Schedule) -> Option<Site> {
    let Some(Stmt::Expr(tail, None)) = schedule.function.block.stmts.last() else {
        return None;
    };
    if guest.text.contains(WARMUP) {
        return None;
    }
    let tail = edit::range(tail);
    let (progress, float) = (&schedule.progress, &schedule.float);
    let constant = format!("const {WARMUP}: {float} = 0.02; // share of the budget over which rates rise\n\n");
    Some(Site {
        operator: NAME,
        description: "schedule: a warm-up over 2% of the budget".into(),
        edits: vec![
            Edit::insert(edit::range(schedule.function).start, constant),
            Edit::insert(tail.start, format!("let warmup = ({progress} / {WARMUP}).min(1.0);\n    warmup * ({{ ")),
            Edit::insert(tail.end, " })"),
        ],
    })
}
