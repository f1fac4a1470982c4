//! Random search over a guest's constants: each point moves every searchable constant at once, log-uniformly within a
//! factor. What the seed guest's constants come from; reproducible from policy, random seed and size.

use crate::bench::{Bench, BenchError};
use crate::evolve::random::Random;
use crate::evolve::sample_constants;
use serde::Serialize;
use std::ops::ControlFlow;

/// One point of the search.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// 0 is the guest as it is.
    pub number: u64,
    /// What was changed, in words.
    pub constants: String,
    /// How it ended.
    pub status: String,
    /// Its score, where completed.
    pub bpb: Option<f64>,
    /// Training steps that the budget allowed.
    pub steps: u64,
}

/// Runs point 0, the guest as it is, then `trials` random points, all on one random seed, and tells each as it ends.
/// Returns the text of the best point; none where no point was completed.
pub fn random_search(
    bench: &Bench,
    guest: &str,
    trials: u64,
    random_seed: u64,
    spread: f64,
    tell: &mut dyn FnMut(&Point),
) -> Result<Option<String>, BenchError> {
    let mut best: Option<(f64, String)> = None;
    for number in 0..=trials {
        let (text, constants) = if number == 0 {
            (guest.to_string(), "as committed".to_string())
        } else {
            match sample_constants(guest, &mut Random::new(random_seed, number), spread) {
                Some(mutation) => (mutation.source, mutation.description),
                None => break,
            }
        };
        let mut point = Point { number, constants, status: String::new(), bpb: None, steps: 0 };
        match bench.prepare(&text) {
            Err(crate::bench::Refusal::Bench(error)) => return Err(error),
            Err(refusal) => point.status = refusal.to_string(),
            Ok(candidate) => {
                let run = bench.run(&candidate, random_seed, &mut |_| ControlFlow::Continue(()))?;
                point.status = run.outcome.status.name().into();
                point.bpb = run.outcome.score.as_ref().map(|score| score.bpb);
                point.steps = run.outcome.totals.steps;
            }
        }
        tell(&point);
        if let Some(bpb) = point.bpb
            && best.as_ref().is_none_or(|(lowest, _)| bpb < *lowest)
        {
            best = Some((bpb, text));
        }
    }
    Ok(best.map(|(_, text)| text))
}
