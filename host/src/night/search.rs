//! Random search over a guest's constants. Each point changes every searchable constant at once, log-uniformly within a
//! factor. The seed guest's constants were found this way. The result is a function of policy, random seed and size.

use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::prepare::{Candidate, Refusal};
use crate::experiment::runner::Experiment;
use crate::propose::evolve::random::Random;
use crate::propose::evolve::sample_constants;
use crate::record::outcome::Outcome;
use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// 0 for the unchanged guest.
    pub number: u64,
    /// The changes, in words.
    pub constants: String,
    pub status: String,
    /// Bits per byte, if completed.
    pub bpb: Option<f64>,
    /// Number of training steps within the budget.
    pub steps: u64,
}

/// Runs point 0, the unchanged guest, then `trials` random points, all on the same random seed. [`Bench::jobs`] points
/// run at the same time. Reports each point in order. Returns the text of the best point, or `None` if no point was
/// completed.
pub fn random_search(
    bench: &Bench,
    guest: &str,
    trials: u64,
    random_seed: u64,
    spread: f64,
    tell: &mut dyn FnMut(&Point),
) -> Result<Option<String>, BenchError> {
    let mut drawn = (0..=trials).map_while(|number| draw(guest, number, random_seed, spread));
    let mut best: Option<(f64, String)> = None;
    loop {
        let batch: Vec<(Point, String)> = drawn.by_ref().take(bench.jobs.get()).collect();
        if batch.is_empty() {
            return Ok(best.map(|(_, text)| text));
        }
        for (point, text) in run(bench, batch, random_seed)? {
            tell(&point);
            if let Some(bpb) = point.bpb
                && best.as_ref().is_none_or(|(lowest, _)| bpb < *lowest)
            {
                best = Some((bpb, text));
            }
        }
    }
}

/// Draws a point and its text. Returns `None` if the guest has no constants to change.
fn draw(guest: &str, number: u64, random_seed: u64, spread: f64) -> Option<(Point, String)> {
    let (constants, text) = match number {
        0 => ("as committed".to_string(), guest.to_string()),
        _ => {
            let mutation = sample_constants(guest, &mut Random::new(random_seed, number), spread)?;
            (mutation.description, mutation.source)
        }
    };
    Some((Point { number, constants, status: String::new(), bpb: None, steps: 0 }, text))
}

/// Runs the points and fills in their results.
fn run(bench: &Bench, mut points: Vec<(Point, String)>, random_seed: u64) -> Result<Vec<(Point, String)>, BenchError> {
    let mut candidates: Vec<(&mut Point, Candidate)> = Vec::new();
    for (point, text) in &mut points {
        match bench.prepare(text) {
            Ok(candidate) => candidates.push((point, candidate)),
            Err(Refusal::Bench(error)) => return Err(error),
            Err(refusal) => point.status = refusal.to_string(),
        }
    }
    let batch: Vec<Experiment> =
        candidates.iter().map(|(_, c)| Experiment { component: &c.component, random_seed }).collect();
    let runs = bench.run(&batch, &mut |_, _| {}, &|| false)?;
    for ((point, _), run) in candidates.into_iter().zip(runs) {
        let Outcome { status, score, totals, .. } = run.outcome;
        point.status = status.name().into();
        point.bpb = score.map(|score| score.bpb);
        point.steps = totals.steps;
    }
    Ok(points)
}
