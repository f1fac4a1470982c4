//! Compares budget time with wall time: a profile's predictions for different guests, and the measurements on this
//! machine.

use crate::guests::{Kind, MAKES, profile, run};
use crate::inputs::Inputs;
use crate::lab::Watched;
use crate::machine;
use crate::step::median;
use anyhow::Result;
use kernels::cost::Profile;
use kernels::session::NamedState;
use nightlab::sandbox::Start;
use nightlab::sandbox::measure::{self, Measured};

/// Steps before the timed ones.
const WARM_UP: usize = 2;
/// Predicted seconds of the timed steps, approximately.
const SECONDS: f64 = 1.5;
/// Largest number of timed steps.
const MAX_STEPS: u64 = 400;

/// Figures for one guest's training step.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: &'static str,
    /// Ops per step.
    pub ops: f64,
    /// Milliseconds per step as the profile predicts.
    pub predicted_ms: f64,
    /// Milliseconds per step as measured.
    pub measured_ms: f64,
    /// Peak tensor bytes as the accounting predicts.
    pub predicted_bytes: u64,
    /// Peak tensor bytes in the executor.
    pub measured_bytes: u64,
}

pub fn budget(profile_name: &str, rounds: usize, only: &str) -> Result<()> {
    let profile = profile(profile_name)?;
    println!("profile {}; {}\n", profile.name, machine::describe());
    println!(
        "| guest | ops per step | predicted, ms per step | measured | ratio | predicted, MB of tensors | measured | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let kinds: Vec<&Kind> = MAKES.iter().filter(|kind| kind.name.contains(only)).collect();
    for row in rows(&profile, rounds, &kinds)? {
        let (predicted, measured) = (row.predicted_bytes as f64, row.measured_bytes as f64);
        print!("| {} | {:.0} | {:.2} | {:.2} ", row.name, row.ops, row.predicted_ms, row.measured_ms);
        print!("| {:.2} ", row.predicted_ms / row.measured_ms);
        println!("| {:.1} | {:.1} | {:.3} |", predicted / 1e6, measured / 1e6, predicted / measured);
    }
    Ok(())
}

/// Training steps of guests: the median over the steps, and the best of interleaved rounds, because other programs can
/// only slow them down.
pub fn rows(profile: &Profile, rounds: usize, kinds: &[&Kind]) -> Result<Vec<Row>> {
    let components = kinds.iter().map(|kind| kind.compile()).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<Vec<Row>> = kinds.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds.max(1) {
        for ((kind, component), found) in kinds.iter().zip(&components).zip(&mut found) {
            found.push(one(kind, component, profile)?);
        }
    }
    let best = |rows: Vec<Row>| rows.into_iter().min_by(|a, b| a.measured_ms.total_cmp(&b.measured_ms));
    Ok(found.into_iter().filter_map(best).collect())
}

fn one(kind: &Kind, component: &[u8], profile: &Profile) -> Result<Row> {
    let (first, _) = measured(kind, component, profile, 1)?;
    let price = first.spent_ps.first().map_or(0.1, |ps| *ps as f64 / 1e12);
    let steps = WARM_UP as u64 + ((SECONDS / price) as u64).clamp(4, MAX_STEPS);
    let (found, measured_bytes) = measured(kind, component, profile, steps)?;
    // All steps but the first, which both runs have.
    let more = (steps - 1) as f64;
    let timed = (found.seconds.len() - WARM_UP) as f64;
    Ok(Row {
        name: kind.name,
        ops: (found.totals.ops - first.totals.ops) as f64 / more,
        predicted_ms: found.spent_ps.iter().skip(WARM_UP).sum::<u64>() as f64 / 1e9 / timed,
        measured_ms: median(found.seconds.into_iter().skip(WARM_UP).collect()) * 1e3,
        predicted_bytes: found.totals.peak_bytes,
        measured_bytes,
    })
}

/// Start values of a run: tokens, and the guest's own parameters.
pub fn start(kind: &Kind) -> Result<Start> {
    let batches = Box::new(Inputs::make(kind.tokens()?).batches());
    Ok(Start { state: NamedState::default(), batches })
}

/// Measures `steps` steps, and the executor's peak.
fn measured(kind: &Kind, component: &[u8], profile: &Profile, steps: u64) -> Result<(Measured, u64)> {
    let run = run(kind.vocab, profile);
    let executor = Watched::new(run.threads as usize, run.random_seed)?;
    let found = measure::train(component, &run, Box::new(executor.clone()), start(kind)?, steps, || ())
        .map_err(|status| anyhow::anyhow!("{}: {status:?}", kind.name))?;
    Ok((found, executor.peak_bytes()))
}
