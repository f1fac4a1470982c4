//! Trains the keeps of a night on larger terms. Each run is in the store when it ends, so what was stopped goes on
//! where it stopped.

use crate::experiment::batch::Run;
use crate::experiment::bench::Bench;
use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::promote::lineage::Keep;
use crate::night::promote::transfer::{Gain, Transfer};
use crate::night::stop::Stop;
use crate::night::trial::replicas;
use crate::policy::Policy;

/// What is trained.
pub struct Sources<'a> {
    pub seed: &'a str,
    pub keeps: &'a [Keep],
    pub champion: &'a str,
}

/// What came of it, in the order of the keeps.
pub struct Found {
    /// Mean bits per byte of the seed guest on the larger terms.
    pub seed_bpb: f64,
    /// The gain of each keep alone, or why there is none.
    pub alone: Vec<Result<Gain, String>>,
    /// The gain of the champion, or why there is none.
    pub together: Result<Gain, String>,
    pub transfer: Transfer,
}

/// Is told what came of a source: the keep's index, or none for the champion.
pub type Told<'a> = dyn FnMut(Option<usize>, &Result<Gain, String>) + 'a;

/// Trains the seed guest, each keep alone on it, and the champion, on the same random seeds. `each` is told as
/// soon as one is known.
///
/// # Errors
/// The machine failed for longer than somebody waits, the user stopped it, or the seed guest has no score.
pub fn promote(
    bench: &Bench,
    policy: &Policy,
    sources: &Sources,
    seeds: u32,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
    each: &mut Told,
) -> Result<Found, NightError> {
    let mut scores = |source: &str| -> Result<Result<Vec<f64>, String>, NightError> {
        let candidate = match bench.prepare(source) {
            Ok(candidate) => candidate,
            Err(refusal) if refusal.stage().is_some() => return Ok(Err(refusal.to_string())),
            Err(refusal) => return Err(NightError::Machine(refusal.to_string())),
        };
        let runs = replicas::score(bench, policy, &candidate, seeds, stop, tell)?;
        Ok(runs.iter().map(score).collect())
    };
    let seed = scores(sources.seed)?.map_err(NightError::SeedGuest)?;
    let mut gain = |source: &str| -> Result<Result<Gain, String>, NightError> {
        Ok(scores(source)?.and_then(|scores| {
            let differences: Vec<f64> = seed.iter().zip(&scores).map(|(seed, score)| seed - score).collect();
            Gain::of(&differences).ok_or_else(|| "it has no score".into())
        }))
    };
    let mut alone = Vec::new();
    for (index, keep) in sources.keeps.iter().enumerate() {
        let found = match &keep.alone {
            Ok(source) => gain(source)?,
            Err(conflict) => Err(format!("it cannot stand alone: {conflict}")),
        };
        each(Some(index), &found);
        alone.push(found);
    }
    let together = gain(sources.champion)?;
    each(None, &together);
    let small = |keep: &Keep| -keep.trial.found.delta.unwrap_or(0.0);
    let keeps: Vec<(f64, Option<Gain>)> =
        sources.keeps.iter().map(small).zip(alone.iter().map(|found| found.as_ref().ok().copied())).collect();
    let transfer = Transfer::of(&keeps, together.as_ref().ok().copied());
    Ok(Found { seed_bpb: seed.iter().sum::<f64>() / seed.len() as f64, alone, together, transfer })
}

fn score(run: &Run) -> Result<f64, String> {
    run.outcome.score.as_ref().map(|score| score.bpb).ok_or_else(|| run.outcome.status.to_string())
}
