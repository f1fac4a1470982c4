//! Sizes of steps: the batch, the sequence, their schedules; and what is done around a step.

use crate::propose::evolve::constants::Value;
use crate::propose::evolve::edit;
use crate::propose::evolve::operators::arguments::set;
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::training::{Training, training};
use std::ops::Range;
use syn::{Expr, Lit, Pat};

/// An argument of `next_batch` times some factors.
fn sized(guest: &Guest, argument: usize, factors: &[f64], what: &str) -> Vec<Change> {
    let Some(training) = training(guest) else { return Vec::new() };
    let size = &training.next_batch.args[argument];
    let scaled = |now: i64, factor: f64| ((now as f64 * factor).round() as i64).max(1);
    if let Some(constant) = guest.constant(size) {
        let Value::Integer(now) = constant.value else { return Vec::new() };
        return factors.iter().filter_map(|&f| set(constant, Value::Integer(scaled(now, f)), what)).collect();
    }
    let Expr::Lit(literal) = size else { return Vec::new() };
    let Lit::Int(number) = &literal.lit else { return Vec::new() };
    let Ok(now) = number.base10_parse::<i64>() else { return Vec::new() };
    let (name, meaning) = if argument == 0 { ("BATCH", "sequences per step") } else { ("SEQ", "tokens per sequence") };
    let change = |&factor: &f64| {
        let new = scaled(now, factor);
        let draft =
            Draft::new(guest).constant(name, "usize", &new.to_string(), meaning).replace(&edit::range(size), name);
        draft.done(format!("{what}: {now} → {new}"))
    };
    factors.iter().filter_map(change).collect()
}

pub fn batch(guest: &Guest) -> Vec<Change> {
    sized(guest, 0, &[0.5, 0.67, 1.5, 2.0], "batch")
}

pub fn sequence(guest: &Guest) -> Vec<Change> {
    sized(guest, 1, &[0.5, 0.67, 1.5, 2.0], "sequence")
}

const GROWING_BATCH: &str = r#"/// A smaller batch at first, and the whole one later.
fn growing_batch(batch: usize, progress: f32) -> usize {
    let share = FIRST_BATCH + (1.0 - FIRST_BATCH) * (progress / BATCH_GROWS).min(1.0);
    ((batch as f32 * share) as usize).max(1)
}"#;

const GROWING_SEQUENCE: &str = r#"/// Shorter sequences at first, and whole ones later, in steps of a quarter.
fn growing_sequence(sequence: usize, progress: f32) -> usize {
    let share = FIRST_SEQUENCE + (1.0 - FIRST_SEQUENCE) * (progress / SEQUENCE_GROWS).min(1.0);
    ((sequence as f32 * (4.0 * share).round() / 4.0) as usize).max(1)
}"#;

/// A size that `function` makes out of the one that is given.
fn grown(guest: &Guest, argument: usize, function: &str, text: &str, names: [&str; 2], what: &str) -> Option<Change> {
    let training = training(guest)?;
    let size = edit::range(&training.next_batch.args[argument]);
    Draft::new(guest)
        .number(names[0], "0.5", &format!("share of {what} at first"))
        .number(names[1], "0.6", "share of the budget over which it grows")
        .item(function, text)
        .wrap(&size, format!("{function}("), format!(", {}.progress())", training.lab))
        .done(format!("{what} that grows from half"))
}

pub fn batch_schedule(guest: &Guest) -> Vec<Change> {
    grown(guest, 0, "growing_batch", GROWING_BATCH, ["FIRST_BATCH", "BATCH_GROWS"], "a batch").into_iter().collect()
}

pub fn sequence_schedule(guest: &Guest) -> Vec<Change> {
    let names = ["FIRST_SEQUENCE", "SEQUENCE_GROWS"];
    grown(guest, 1, "growing_sequence", GROWING_SEQUENCE, names, "a sequence").into_iter().collect()
}

/// Gradients whose norm is bounded.
pub fn clipping(guest: &Guest) -> Vec<Change> {
    let change = || {
        let (statement, name) = training(guest)?.gradients(guest)?;
        let Pat::Ident(pattern) = &statement.pat else { return None };
        let mut draft = Draft::new(guest).unless(guest.tree.calls_of("clip").next().is_some()).number(
            "CLIP",
            "1.0",
            "largest norm of all gradients together",
        );
        if pattern.mutability.is_none() {
            draft = draft.replace(&edit::range(&statement.pat), format!("mut {name}"));
        }
        draft.after(&edit::range(statement), &format!("{name}.clip(CLIP);")).done("gradients clipped to a norm of 1")
    };
    change().into_iter().collect()
}

/// Weights that follow the fast ones, and replace them now and then.
pub fn look_ahead(guest: &Guest) -> Vec<Change> {
    let change = || {
        let training = training(guest)?;
        let net = training.net(guest)?;
        let last = last_step(guest, &training)?;
        Draft::new(guest)
            .constant("LOOK_EVERY", "usize", "6", "steps between two looks of the slow weights")
            .number("LOOK_SHARE", "0.5", "how far the slow weights go towards the fast ones")
            .before(
                &training.statement,
                &format!("let mut slow = Average::of(&{net}.parameters());\nlet mut looks = 0_usize;"),
            )
            .after(
                &last,
                "looks += 1;\nif looks % LOOK_EVERY == 0 {\n    slow.update(1.0 - LOOK_SHARE);\n    slow.store();\n}",
            )
            .done("look-ahead: slow weights that replace the fast ones")
    };
    change().into_iter().collect()
}

/// The statement of the last optimizer's step in the loop.
fn last_step(guest: &Guest, training: &Training) -> Option<Range<usize>> {
    let steps = ["Muon", "AdamW"].into_iter().flat_map(|ty| training.steps(guest, ty));
    let inner = steps.map(|step| step.statement).max_by_key(|statement| statement.start)?;
    // The step may stand in an `if` of its own.
    let around = guest.tree.statements.iter().filter(|found| {
        found.range.start <= inner.start
            && inner.end <= found.range.end
            && found.range.start >= training.body.start
            && found.range.end <= training.body.end
    });
    around.max_by_key(|found| found.range.len()).map(|found| found.range.clone())
}

/// A running average of the weights over the last part of the run.
fn averaged(guest: &Guest, decay: &str, brings: &[(&str, &str, &str)], words: &str) -> Option<Change> {
    let training = training(guest)?;
    let (net, lab) = (training.net(guest)?, &training.lab);
    let last = last_step(guest, &training)?;
    let mut draft = Draft::new(guest).unless(guest.tree.constructors("Average", "of").next().is_some()).number(
        "AVERAGE_FROM",
        "0.8",
        "share of the budget after which weights are averaged",
    );
    for (name, value, meaning) in brings {
        draft = draft.number(name, value, meaning);
    }
    draft
        .before(&training.statement, "let mut average: Option<Average> = None;\nlet mut averaged = 0.0_f32;")
        .after(
            &last,
            &format!(
                "if {lab}.progress() > AVERAGE_FROM {{\n    averaged += 1.0;\n    \
                 average.get_or_insert_with(|| Average::of(&{net}.parameters())).update({decay});\n}}"
            ),
        )
        .after(&training.statement, "if let Some(average) = average {\n    average.store();\n}")
        .done(words)
}

pub fn average_of_tail(guest: &Guest) -> Vec<Change> {
    let decay = ("AVERAGE_DECAY", "0.95", "what a step keeps of the average of the weights");
    averaged(guest, "AVERAGE_DECAY.min(1.0 - 1.0 / averaged)", &[decay], "a running average of the weights at the end")
        .into_iter()
        .collect()
}

pub fn mean_of_tail(guest: &Guest) -> Vec<Change> {
    averaged(guest, "1.0 - 1.0 / averaged", &[], "the mean of the weights of the last fifth").into_iter().collect()
}

/// Rates that rise at first, where there is no function for the schedule.
fn rates_times(
    guest: &Guest,
    types: &[&str],
    factor: impl Fn(&str) -> String,
    brings: (&str, &str, &str),
    words: &str,
) -> Option<Change> {
    let training = training(guest)?;
    let steps: Vec<_> = types.iter().flat_map(|ty| training.steps(guest, ty)).collect();
    let mut draft = Draft::new(guest).unless(steps.is_empty()).number(brings.0, brings.1, brings.2);
    for step in &steps {
        let rate = edit::range(step.rate);
        draft = match step.rate {
            Expr::Path(_) | Expr::Lit(_) | Expr::Call(_) | Expr::MethodCall(_) => {
                draft.append(&rate, format!(" * {}", factor(&training.lab)))
            }
            _ => draft.wrap(&rate, "(", format!(") * {}", factor(&training.lab))),
        };
    }
    draft.done(words)
}

pub fn warm_up(guest: &Guest) -> Vec<Change> {
    let share = ("WARMUP", "0.02", "share of the budget over which rates rise");
    let factor = |lab: &str| format!("({lab}.progress() / WARMUP).min(1.0)");
    rates_times(guest, &["Muon", "AdamW"], factor, share, "a warm-up over 2% of the budget").into_iter().collect()
}

/// A cool-down of their own for matrices, or for everything else.
pub fn own_cool_down(guest: &Guest) -> Vec<Change> {
    let change = |ty: &'static str, name: &'static str, value, what: &str| {
        let share = (name, value, "share of the budget over which their rate falls to 0");
        let factor = |lab: &str| format!("((1.0 - {lab}.progress()) / {name}).min(1.0)");
        rates_times(guest, &[ty], factor, share, &format!("a cool-down of their own for {what}"))
    };
    let both = ["Muon", "AdamW"]
        .iter()
        .all(|ty| training(guest).is_some_and(|training| !training.steps(guest, ty).is_empty()));
    let changes = [
        change("Muon", "MATRIX_COOLDOWN", "0.8", "matrices"),
        change("AdamW", "ADAM_COOLDOWN", "0.4", "what AdamW trains"),
    ];
    changes.into_iter().flatten().filter(|_| both).collect()
}
