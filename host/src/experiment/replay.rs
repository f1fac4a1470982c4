//! Replays a stored experiment from its manifest and compares every part of its record. It writes nothing to the store.

use crate::data::Split;
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::ended::Ended;
use crate::experiment::runner::Experiment;
use crate::guest::component::Component;
use crate::record::causality::Causality;
use crate::record::evidence::Evidence;
use crate::record::key::{ExperimentKey, Hash};
use crate::record::outcome::{Outcome, Status, decode_state};
use crate::record::secret::SplitSecret;
use crate::record::store::{ExperimentRecord, StoreError};
use crate::sandbox::{Progress, Resume};
use kernels::session::Checkpoint;
use serde::Serialize;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// The result of a replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// Key of the experiment.
    pub experiment: String,
    /// Whether everything compared was identical.
    pub identical: bool,
    /// The first difference, in words.
    pub difference: Option<String>,
    /// Index of the first differing interval, from 0.
    pub interval: Option<u32>,
    /// Number of intervals compared.
    pub compared: u32,
    /// Number of intervals in the record.
    pub intervals: u32,
    /// Number of steps of the replayed run.
    pub steps: u64,
    /// Bits per byte, if the whole run was replayed.
    pub val_bpb: Option<f64>,
    /// Hash of the final state, if the whole run was replayed.
    pub state: Option<String>,
    /// Duration in seconds.
    pub seconds: f64,
}

impl Replay {
    /// Of a run from beginning to end.
    fn whole(
        key: ExperimentKey,
        (intervals, first): (usize, Option<u32>),
        difference: Option<String>,
        found: Outcome,
        took: Duration,
    ) -> Self {
        Self {
            experiment: key.to_string(),
            identical: difference.is_none(),
            interval: first,
            difference,
            compared: intervals as u32,
            intervals: intervals as u32,
            steps: found.totals.steps,
            val_bpb: found.score.map(|score| score.bpb),
            state: found.state.map(|hash| Hash(hash).to_string()),
            seconds: took.as_secs_f64(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The interval does not exist, or there is no checkpoint before it.
    #[error(
        "experiment {key} has no checkpoint before interval {interval}: it has {known} (a store keeps those of the last runs); leave --interval out to replay all of it"
    )]
    NoCheckpoint {
        key: String,
        /// The requested interval.
        interval: u32,
        /// The intervals that can be replayed.
        known: String,
    },
    #[error("the replay could not be finished: {0}")]
    Host(String),
}

/// Runs the whole experiment again, training and evaluation, and compares the outcomes.
pub fn replay(
    bench: &Bench,
    record: &ExperimentRecord,
    component: &Component,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Replay, ReplayError> {
    let stored = bench.store.outcome(record)?;
    let experiment = Experiment { component, random_seed: record.manifest.random_seed };
    let probe_seed = record.evaluation.map_or(0, |evaluation| evaluation.probe_seed);
    let ended = bench.runner(1).run(&experiment, probe_seed, &mut |progress| watch(&progress), &|| false);
    let (found, took) = (ended.outcome, ended.wall);
    if !found.status.is_result() {
        return Err(ReplayError::Host(found.status.to_string()));
    }
    let intervals = (stored.intervals.len(), first_interval(&stored.intervals, &found.intervals));
    Ok(Replay::whole(record.key, intervals, first_difference(&stored, &found), found, took))
}

/// What else is wrong with a run, in words.
pub type Misfit<'a> = &'a dyn Fn(&Ended) -> Option<String>;

/// Runs an experiment from what somebody says of it, training and evaluation, and compares. `bpb` is the claimed score,
/// if there is one. `blind` is the secret by which the hashes of the evidence are blinded. `misfit` may find something
/// else that is wrong. The store need not know the experiment.
pub fn prove(
    bench: &Bench,
    (evidence, bpb): (&Evidence, Option<f64>),
    component: &Component,
    (blind, misfit): (Option<&SplitSecret>, Misfit),
    watch: &mut dyn FnMut(&Progress),
) -> Result<Replay, ReplayError> {
    let experiment = Experiment { component, random_seed: evidence.manifest.random_seed };
    let ended = bench.runner(1).run(&experiment, evidence.probe_seed, &mut |progress| watch(&progress), &|| false);
    let found = &ended.outcome;
    if !found.status.is_result() {
        return Err(ReplayError::Host(found.status.to_string()));
    }
    let said: Vec<[u8; 32]> = evidence.intervals.iter().map(|hash| hash.0).collect();
    let score = found.score.as_ref().map(|score| score.bpb);
    let blinded = |hash: [u8; 32]| blind.map_or(hash, |secret| secret.blind(&hash));
    let intervals: Vec<[u8; 32]> = found.intervals.iter().copied().map(blinded).collect();
    let first = first_interval(&said, &intervals);
    let difference = if let Some(interval) = first {
        Some(format!("interval {interval} of {} has another state hash", said.len()))
    } else if let Some(bpb) = bpb.filter(|bpb| score.map(f64::to_bits) != Some(bpb.to_bits())) {
        let found = score.map_or_else(|| found.status.to_string(), |score| score.to_string());
        Some(format!("bits per byte are {found}, and {bpb} was claimed"))
    } else {
        let differs = blinded(found.hash().0.0) != evidence.outcome.0.0;
        differs.then(|| "the outcome has another hash, though intervals and score agree".into())
    };
    let difference = match difference {
        None => match misfit(&ended) {
            None => fails_other_probes(bench, &experiment, &ended)?,
            misfit => misfit,
        },
        difference => difference,
    };
    Ok(Replay::whole(evidence.experiment(), (said.len(), first), difference, ended.outcome, ended.wall))
}

/// Why a model that has a score, and whose causality is not proved, does not pass random probes of this machine. Who
/// claims a score has chosen the probes of the claim, and may have looked for those that a look ahead passes.
fn fails_other_probes(bench: &Bench, experiment: &Experiment, ended: &Ended) -> Result<Option<String>, ReplayError> {
    let is_probed = ended.evaluation.is_some_and(|evaluation| evaluation.causality == Causality::Probed);
    let is_in_doubt = is_probed && ended.outcome.score.is_some();
    let Some(state) = ended.state.as_ref().filter(|_| is_in_doubt) else { return Ok(None) };
    let state =
        decode_state(state).map_err(|error| ReplayError::Host(format!("the state does not decode: {error}")))?;
    match bench.probe_anew(experiment, &state, Split::Search, &|| false) {
        Ok(()) => Ok(None),
        Err(status) if status.is_result() => {
            Ok(Some(format!("with other probes than those of the claim the model fails: {status}")))
        }
        Err(status) => Err(ReplayError::Host(status.to_string())),
    }
}

/// Replays one interval only. Up to the checkpoint before it, the guest runs without execution, and the record answers
/// its reads. Then the tensors of the checkpoint are loaded and the interval is executed.
pub fn replay_interval(
    bench: &Bench,
    record: &ExperimentRecord,
    component: &Component,
    interval: u32,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Replay, ReplayError> {
    let stored = bench.store.outcome(record)?;
    let checkpoints = bench.store.checkpoints(&record.key)?;
    let no_checkpoint = || ReplayError::NoCheckpoint {
        key: record.key.short(),
        interval,
        known: match checkpoints.as_slice() {
            [] => "none".into(),
            [first, .., last] => format!("those before intervals {} to {}", first.0 + 1, last.0 + 1),
            [only] => format!("the one before interval {}", only.0 + 1),
        },
    };
    let before = interval.checked_sub(1).ok_or_else(no_checkpoint)?;
    let (_, blob) = checkpoints.iter().find(|(index, _)| *index == before).ok_or_else(no_checkpoint)?;
    let expected = stored.intervals.get(interval as usize).ok_or_else(no_checkpoint)?;
    let from: Checkpoint = postcard::from_bytes(&bench.store.get_blob(blob)?)
        .map_err(|error| ReplayError::Host(format!("the checkpoint does not decode: {error}")))?;
    if from.interval != before {
        let (key, is) = (record.key.short(), from.interval);
        return Err(ReplayError::Host(format!("the index of {key} is damaged: checkpoint {before} is that of {is}")));
    }
    if stored.intervals.get(before as usize) != Some(&from.hash) {
        let key = record.key.short();
        return Err(ReplayError::Host(format!("the index of {key} is damaged: checkpoint {before} is of another run")));
    }
    let started = Instant::now();
    let resume = Resume { read_log: stored.read_log.clone(), from, until_interval: interval };
    let trained = bench.runner(1).train(component, record.manifest.random_seed, Some(&resume), &mut |progress| {
        watch(&progress);
        ControlFlow::Continue(())
    });
    if !trained.status.is_result() {
        return Err(ReplayError::Host(trained.status.to_string()));
    }
    let found = trained.intervals.last();
    let identical = found == Some(expected);
    Ok(Replay {
        experiment: record.key.to_string(),
        identical,
        difference: (!identical).then(|| format!("interval {interval} has another state hash")),
        interval: (!identical).then_some(interval),
        compared: 1,
        intervals: stored.intervals.len() as u32,
        steps: trained.totals.steps,
        val_bpb: None,
        state: None,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn first_interval(stored: &[[u8; 32]], found: &[[u8; 32]]) -> Option<u32> {
    let common = stored.iter().zip(found).position(|(a, b)| a != b);
    common.or((stored.len() != found.len()).then_some(stored.len().min(found.len()))).map(|i| i as u32)
}

/// The first difference, in the order of a run: intervals, status, final state, score, and everything else.
pub fn first_difference(stored: &Outcome, found: &Outcome) -> Option<String> {
    if let Some(interval) = first_interval(&stored.intervals, &found.intervals) {
        return Some(format!("interval {interval} of {} has another state hash", stored.intervals.len()));
    }
    let bpb = |outcome: &Outcome| outcome.score.as_ref().map(|score| score.bpb.to_bits());
    let name = |status: &Status| status.name();
    if name(&stored.status) != name(&found.status) {
        return Some(format!("the status was {} and is {}", name(&stored.status), name(&found.status)));
    }
    if stored.state != found.state {
        return Some("the final state has another hash".into());
    }
    if bpb(stored) != bpb(found) {
        return Some("val_bpb differs".into());
    }
    (stored.hash() != found.hash()).then(|| "the outcomes differ beyond intervals, state and score".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_interval_is_named() {
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        assert_eq!(first_interval(&[a, b], &[a, b]), None);
        assert_eq!(first_interval(&[a, b, c], &[a, c, c]), Some(1));
        assert_eq!(first_interval(&[a, b], &[a]), Some(1));
    }
}
