//! The baseline: the seed guest, trained on several random seeds. The mean score is the starting point of a night. The
//! spread measures the noise.

use crate::experiment::bench::Bench;
use crate::experiment::judge::Noise;
use crate::experiment::runner::Experiment;
use crate::night::error::NightError;
use crate::night::event::{Baseline, Event};
use crate::night::lock::lock;
use crate::night::rest::Rest;
use crate::night::stop::Stop;
use crate::night::trial::champion::Champion;
use crate::night::trial::runs::Runs;
use crate::night::trial::seeds::replica_seeds;
use crate::policy::Policy;
use crate::record::outcome::{Score, Status};

/// Returns the seed guest's scores, one for each random seed of the policy, and the number of runs that were not in the
/// store yet. If the machine fails, it rests and goes on where it stopped.
pub fn measure_patiently(
    bench: &Bench,
    policy: &Policy,
    baseline: &Champion,
    rest: &mut Rest,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
) -> Result<(Vec<Score>, u64), NightError> {
    let mut trained = 0;
    loop {
        match measure(bench, policy, baseline, &mut trained, stop, tell) {
            Err(fault) if fault.is_of_the_machine() => {
                if !rest.wait(&fault, stop, tell) {
                    return Err(if stop.soon() { NightError::Interrupted } else { fault });
                }
            }
            measured => {
                rest.end();
                return measured.map(|scores| (scores, trained));
            }
        }
    }
}

/// Each batch of runs locks the store separately.
fn measure(
    bench: &Bench,
    policy: &Policy,
    baseline: &Champion,
    trained: &mut u64,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
) -> Result<Vec<Score>, NightError> {
    let seeds = replica_seeds(policy);
    let component = &baseline.candidate.component;
    let experiment = |&random_seed: &u64| ("baseline".to_string(), Experiment { component, random_seed });
    let mut runs = Runs::new(bench, stop, seeds.iter().map(experiment));
    let mut scores = Vec::new();
    for number in 1..=seeds.len() {
        let lock = if stop.soon() { None } else { lock(&bench.store, stop, tell)? };
        let Some(_lock) = lock else { return Err(NightError::Interrupted) };
        tell(Event::Started { number: 0, description: format!("baseline, random seed {number} of {}", seeds.len()) });
        let Some(run) = runs.next(tell)? else { break };
        *trained += u64::from(run.wall.is_some());
        match (run.outcome.status, run.outcome.score) {
            (Status::Completed, Some(score)) => scores.push(score),
            _ if stop.now() => return Err(NightError::Interrupted),
            (status @ Status::GuestFault { .. }, _) => return Err(NightError::SeedGuest(status.to_string())),
            (status, _) => return Err(NightError::Machine(format!("the seed guest was not trained: {status}"))),
        }
    }
    Ok(scores)
}

/// Summarises the baseline and estimates the noise of a score.
pub fn figures(bench: &Bench, scores: &[Score]) -> (Baseline, Noise) {
    let values: Vec<f64> = scores.iter().map(|score| score.bpb).collect();
    let noise = Noise::of_replicas(&values);
    let baseline = Baseline {
        bpb: values.iter().sum::<f64>() / values.len().max(1) as f64,
        noise: noise.sd(),
        replicas: values.len() as u32,
        unigram: bench.task.unigram_bpb,
        compressors: bench.compressors.unwrap_or_default(),
    };
    (baseline, noise)
}
