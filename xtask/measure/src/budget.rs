//! Budget time against wall time: what a profile predicts for guests of different make-up, and what they take here.

use crate::guests::{Kind, MAKES, profile, run};
use crate::inputs::Inputs;
use crate::machine;
use crate::step::median;
use anyhow::Result;
use host::sandbox::measure::{self, Measured, Start};
use kernels::cost::{Class, Profile};
use kernels::session::NamedState;

/// Steps that come before the timed ones.
const WARM_UP: usize = 2;
/// Predicted seconds of the timed steps, about.
const SECONDS: f64 = 1.5;
/// Most timed steps.
const MAX_STEPS: u64 = 400;

/// One guest's training step.
#[derive(Clone, Debug)]
pub struct Row {
    /// The guest.
    pub name: &'static str,
    /// Ops per step.
    pub ops: f64,
    /// Milliseconds per step by the profile.
    pub predicted_ms: f64,
    /// Milliseconds per step here.
    pub measured_ms: f64,
    /// What is predicted, by class in their order.
    by_class: Vec<f64>,
}

impl Row {
    /// What is predicted where each class's prices are multiplied by its factor.
    pub fn predicted(&self, factors: &[f64]) -> f64 {
        self.by_class.iter().zip(factors).map(|(ms, factor)| ms * factor).sum()
    }
}

/// Prints the table.
pub fn budget(profile_name: &str, rounds: usize, only: &str) -> Result<()> {
    let profile = profile(profile_name)?;
    println!("profile {}; {}\n", profile.name, machine::describe());
    println!("| guest | ops per step | predicted, ms per step | measured | predicted / measured |");
    println!("|---|---|---|---|---|");
    for Row { name, ops, predicted_ms, measured_ms, .. } in rows(&profile, rounds, only)? {
        println!("| {name} | {ops:.0} | {predicted_ms:.2} | {measured_ms:.2} | {:.2} |", predicted_ms / measured_ms);
    }
    Ok(())
}

/// Guests whose name contains `only`, medians of interleaved rounds.
pub fn rows(profile: &Profile, rounds: usize, only: &str) -> Result<Vec<Row>> {
    let kinds: Vec<&Kind> = MAKES.iter().filter(|kind| kind.name.contains(only)).collect();
    let components = kinds.iter().map(|kind| kind.compile()).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<Vec<Row>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.max(1) {
        for ((kind, component), found) in kinds.iter().zip(&components).zip(&mut found) {
            found.push(one(kind, component, profile)?);
        }
    }
    let middle = |rows: Vec<Row>| {
        let measured_ms = median(rows.iter().map(|row| row.measured_ms).collect());
        rows.into_iter().next().map(|row| Row { measured_ms, ..row })
    };
    Ok(found.into_iter().filter_map(middle).collect())
}

fn one(kind: &Kind, component: &[u8], profile: &Profile) -> Result<Row> {
    let first = measured(kind, component, profile, 1)?;
    let price = first.spent_ps.first().map_or(0.1, |ps| *ps as f64 / 1e12);
    let steps = WARM_UP as u64 + ((SECONDS / price) as u64).clamp(4, MAX_STEPS);
    let found = measured(kind, component, profile, steps)?;
    let timed = (found.seconds.len() - WARM_UP) as f64;
    // All steps but the first, which both runs have.
    let more = (steps - 1) as f64;
    let spent = |run: &Measured, class: Class| {
        let by_class = run.totals.spent_by_class.iter();
        by_class.filter(|(name, _)| name == class.name()).map(|(_, ps)| *ps as f64 / 1e9).sum::<f64>()
    };
    Ok(Row {
        name: kind.name,
        ops: (found.totals.ops - first.totals.ops) as f64 / more,
        predicted_ms: found.spent_ps.iter().skip(WARM_UP).sum::<u64>() as f64 / 1e9 / timed,
        measured_ms: found.seconds.iter().skip(WARM_UP).sum::<f64>() * 1e3 / timed,
        by_class: Class::ALL.map(|class| (spent(&found, class) - spent(&first, class)) / more).to_vec(),
    })
}

fn measured(kind: &Kind, component: &[u8], profile: &Profile, steps: u64) -> Result<Measured> {
    let batches = Box::new(Inputs::make(kind.tokens()?).batches());
    let start = Start { state: NamedState::default(), batches };
    measure::train(component, &run(kind.vocab, profile), start, steps, || ())
        .map_err(|status| anyhow::anyhow!("{}: {status:?}", kind.name))
}
