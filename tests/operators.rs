//! The operators of `evolve`: each finds a place, and what it makes compiles and passes the dry run, on the seed guest,
//! on results of other operators, and on guests that were written in another style.
//!
//! Compiling costs seconds, so many results are compiled as the modules of one guest, which takes the context's length
//! for the number of a module.

use crate::common::{Place, guest, guest_path};
use nightlab::guest::source;
use nightlab::propose::evolve::edit;
use nightlab::propose::evolve::operators::{Guest, OPERATORS, Prior};
use nightlab::record::causality::Foreseen;
use nightlab::record::limits::Limits;
use nightlab::sandbox::RunSpec;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::ControlFlow;

/// Results in one compilation.
const TOGETHER: usize = 20;
/// Context length of the first module.
const FIRST_CONTEXT: u32 = 64;
/// Of the results on other guests, one in this many is tried.
const EVERY: usize = 12;
/// Deterministic seconds of a dry run: some tens of steps of the seed guest.
const DRY_SECONDS: u64 = 2;

/// What an operator made of a guest.
#[derive(Clone)]
struct Made {
    operator: &'static str,
    /// The operators and what they did, oldest first.
    how: String,
    text: String,
}

fn seed() -> String {
    std::fs::read_to_string(guest_path("../guest-sdk/seeds/gpt")).unwrap()
}

/// Every result on a text, one operator away.
fn all(text: &str, how: &str) -> Vec<Made> {
    let sites = source::look(text, |syntax| {
        let guest = Guest::new(&syntax.file, syntax.text);
        OPERATORS.iter().flat_map(|operator| (operator.sites)(&guest)).collect::<Vec<_>>()
    });
    let made = sites.unwrap().into_iter().map(|site| {
        let how = format!("{how}{}: {}", site.operator, site.description);
        let text = edit::apply(text, &site.edits).unwrap_or_else(|| panic!("{how}: its edits overlap"));
        Made { operator: site.operator, how, text }
    });
    made.collect()
}

/// The first result of each operator.
fn first_of_each(made: Vec<Made>) -> Vec<Made> {
    let mut seen = BTreeSet::new();
    made.into_iter().filter(|made| seen.insert(made.operator)).collect()
}

/// The names of the functions in `guest!(train, model);`, and the text without it.
fn without_exports(text: &str) -> (&str, &str, &str) {
    let (body, exports) = text.rsplit_once("guest!(").unwrap();
    let (train, model) = exports.split_once(')').unwrap().0.split_once(',').unwrap();
    (body, train.trim(), model.trim())
}

/// One guest with many texts as its modules.
fn together(texts: &[&str]) -> String {
    let (mut modules, mut trains, mut models) = (String::new(), String::new(), String::new());
    for (index, text) in texts.iter().enumerate() {
        let (body, train, model) = without_exports(text);
        let context = FIRST_CONTEXT as usize + index;
        write!(modules, "mod m{index} {{\n{body}\npub fn train_here(lab: &mut Lab) {{ {train}(lab) }}\n").unwrap();
        writeln!(modules, "pub fn model_here(net: &Net, tokens: &Tensor) -> Tensor {{ {model}(net, tokens) }}\n}}")
            .unwrap();
        writeln!(trains, "        {context} => m{index}::train_here(lab),").unwrap();
        writeln!(models, "        {context} => m{index}::model_here(net, tokens),").unwrap();
    }
    format!(
        "use guest_sdk::prelude::*;\n{modules}\nfn train(lab: &mut Lab) {{\n    match lab.task().context {{\n{trains}        _ => \
         panic!(\"no such module\"),\n    }}\n}}\n\nfn model(net: &Net, tokens: &Tensor) -> Tensor {{\n    match \
         tokens.size(1) {{\n{models}        _ => panic!(\"no such module\"),\n    }}\n}}\n\nguest!(train, model);\n"
    )
}

/// Compiles and tries all results; says which fail and why.
fn failures(place: &Place, made: &[Made]) -> Vec<String> {
    made.chunks(TOGETHER).flat_map(|some| failures_of(place, some)).collect()
}

fn failures_of(place: &Place, made: &[Made]) -> Vec<String> {
    let texts: Vec<&str> = made.iter().map(|made| made.text.as_str()).collect();
    let source = source::Source::parse(&together(&texts)).unwrap();
    let component = match (place.bench.compile(&source), made) {
        (Ok(component), _) => component,
        (Err(error), [one]) => return vec![format!("{}: {error}", one.how)],
        // One of them spoils all: look for it in both halves.
        (Err(_), _) => {
            let (first, second) = made.split_at(made.len() / 2);
            return failures_of(place, first).into_iter().chain(failures_of(place, second)).collect();
        }
    };
    let mut failures = Vec::new();
    for (context, made) in (FIRST_CONTEXT..).zip(made) {
        let limits = Limits::default();
        let budget_ps = DRY_SECONDS * 1_000_000_000_000;
        let spec = RunSpec { context, limits, budget_ps, ..place.bench.spec.clone() };
        match place.bench.sandbox.dry_run(component.bytes(), &spec, &mut || ControlFlow::Continue(())) {
            Ok(dry_run) if dry_run.causality == Some(Foreseen::Proved) => {}
            Ok(dry_run) => failures.push(format!("{}: {:?}", made.how, dry_run.causality)),
            Err(status) => failures.push(format!("{}: {status}", made.how)),
        }
    }
    failures
}

fn assert_pass(made: &[Made]) {
    let failures = failures(&Place::new(), made);
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), made.len(), failures.join("\n"));
}

/// The guests on which each operator must find a place: the seed guest, and what some operators ask for.
fn grounds() -> Vec<(&'static str, String)> {
    let with_tables = first_of_each(all(&seed(), "")).into_iter().find(|made| made.operator == "2-gram table").unwrap();
    let without_shortcut = guest("guests/gpt");
    vec![
        ("seed", seed()),
        ("four layers", seed().replace("DEPTH: usize = 2", "DEPTH: usize = 4")),
        ("2-grams", with_tables.text),
        ("no shortcut", without_shortcut),
    ]
}

#[test]
fn each_operator_finds_a_place_and_its_result_passes() {
    let grounds = grounds();
    let made = grounds.iter().flat_map(|(name, text)| all(text, &format!("{name}, ")));
    let made = first_of_each(made.collect());
    let found: BTreeSet<&str> = made.iter().map(|made| made.operator).collect();
    let missing: Vec<&str> = OPERATORS.iter().map(|o| o.name).filter(|name| !found.contains(name)).collect();
    assert!(missing.is_empty(), "no place for {missing:?}");
    assert_pass(&made);
}

/// Every second operator, and behind it another one, which differs from each to the next.
#[test]
fn operators_pass_on_results_of_others() {
    let first = first_of_each(all(&seed(), ""));
    let shift = first.len() / 2 + 1;
    let made = first.iter().enumerate().step_by(2).filter_map(|(index, made)| {
        // Some are no longer there: what one adds, another would add too.
        let wanted = (0..first.len()).map(|next| first[(index + shift + next) % first.len()].operator);
        let next = first_of_each(all(&made.text, &format!("{}, then ", made.how)));
        wanted.into_iter().find_map(|name| next.iter().find(|made| made.operator == name).cloned())
    });
    assert_pass(&made.collect::<Vec<_>>());
}

#[test]
fn operators_pass_on_a_guest_of_another_style() {
    let made = first_of_each(all(&guest("guests/own_style"), ""));
    assert!(made.len() >= 54, "{} operators find a place", made.len());
    assert_pass(&made);
}

/// An operator that was applied is not proposed again: its results on its own results are others, or none.
#[test]
fn what_is_there_is_not_added_again() {
    // Norms stand in several places that their descriptions do not tell apart.
    for made in all(&seed(), "").into_iter().filter(|made| made.operator != "norm") {
        let again = all(&made.text, "").into_iter().filter(|next| next.operator == made.operator);
        let description = made.how.split_once(": ").unwrap().1;
        for next in again {
            assert_ne!(next.text, made.text, "{} changes nothing", next.how);
            assert_ne!(next.how.split_once(": ").unwrap().1, description, "{} again", made.how);
        }
    }
}

/// Guests whose code says little: an operator must find no place, or one that compiles.
#[test]
fn operators_pass_on_other_guests() {
    let names = ["attention_free", "ema", "gpt", "narrow_and_deep", "optimizer_heavy", "tiny"];
    let made =
        names.iter().flat_map(|name| first_of_each(all(&guest(&format!("guests/{name}")), &format!("{name}, "))));
    let some = made.enumerate().filter(|(index, _)| index % EVERY == 0).map(|(_, made)| made);
    assert_pass(&some.collect::<Vec<_>>());
}

/// All results on all grounds, and all pairs of operators whose prior is not the lowest: 4000 compilations of modules.
#[test]
#[ignore = "takes an hour"]
fn every_operator_passes_on_the_results_of_every_other() {
    let grounds = grounds();
    let styles = ["own_style", "attention_free", "ema", "gpt", "narrow_and_deep", "optimizer_heavy", "tiny"];
    let styles = styles.map(|name| (name, guest(&format!("guests/{name}"))));
    let mut made: Vec<Made> =
        grounds.iter().chain(&styles).flat_map(|(name, text)| all(text, &format!("{name}, "))).collect();
    let likely = |made: &Made| OPERATORS.iter().any(|o| o.name == made.operator && o.prior > Prior::Unlikely);
    for first in first_of_each(all(&seed(), "")).into_iter().filter(likely) {
        let next = first_of_each(all(&first.text, &format!("{}, then ", first.how)));
        made.extend(next.into_iter().filter(likely));
    }
    assert_pass(&made);
}

/// The table of `docs/operators.md` is the table of the library. `INSTA_UPDATE=always` writes it anew.
#[test]
fn the_documentation_lists_the_operators() {
    let path = guest_path("../docs/operators").with_extension("md");
    let page = std::fs::read_to_string(&path).unwrap();
    let header = "| operator | prior | evidence |\n|---|---|---|\n";
    let rows = OPERATORS.iter().map(|o| format!("| {} | {} | {} |\n", o.name, o.prior.level(), o.evidence));
    let words = page.split(header).next().unwrap();
    let expected = format!("{words}{header}{}", rows.collect::<String>());
    if std::env::var("INSTA_UPDATE").is_ok_and(|how| how == "always") {
        std::fs::write(&path, &expected).unwrap();
    }
    assert!(page == expected, "the table differs: INSTA_UPDATE=always writes it");
}
