//! The baseline: the seed guest, trained on several random seeds. The mean score is the starting point of a night. The
//! spread measures the noise.

use crate::experiment::bench::Bench;
use crate::experiment::judge::Noise;
use crate::night::error::NightError;
use crate::night::event::{Baseline, Event};
use crate::night::rest::Rest;
use crate::night::stop::Stop;
use crate::night::trial::champion::Champion;
use crate::night::trial::replicas::Replicas;
use crate::night::trial::runs::told;
use crate::night::trial::seeds::replica_seeds;
use crate::policy::Policy;
use crate::record::outcome::{Score, Status};

/// Returns the seed guest's scores, one for each random seed of the policy, and the number of runs that were not in the
/// store yet. If the machine fails, it rests and goes on where it stopped.
pub fn measure(
    bench: &Bench,
    policy: &Policy,
    baseline: &Champion,
    rest: &mut Rest,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
) -> Result<(Vec<Score>, u64), NightError> {
    let (mut trained, mut scores) = (0, Vec::new());
    let replicas = Replicas { bench, who: "baseline", component: &baseline.candidate.component, stop };
    rest.patiently(stop, tell, &mut |tell| {
        scores.clear();
        let mut runs = Vec::new();
        replicas.train(&replica_seeds(policy), tell, &mut |run| {
            trained += u64::from(run.wall.is_some());
            runs.push(run.key);
            match (run.outcome.status, run.outcome.score) {
                (Status::Completed, Some(score)) => scores.push(score),
                (status, _) => return Err(NightError::SeedGuest(status.to_string())),
            }
            Ok(())
        })?;
        match bench.settle(&runs, &mut told(tell), &|| stop.now())? {
            true => Ok(()),
            false => Err(NightError::Machine("a run of the baseline has yet to be made again".into())),
        }
    })?;
    Ok((scores, trained))
}

/// Summarises the baseline and estimates the noise of a score.
pub fn figures(bench: &Bench, scores: &[Score]) -> (Baseline, Noise) {
    let values: Vec<f64> = scores.iter().map(|score| score.bpb).collect();
    let noise = Noise::of_replicas(&values);
    let baseline = Baseline {
        bpb: values.iter().sum::<f64>() / values.len().max(1) as f64,
        noise: noise.sd(),
        replicas: values.len() as u32,
        unigram: bench.task.told_unigram_bpb,
        compressors: bench.compressors.unwrap_or_default(),
    };
    (baseline, noise)
}
