//! Whether a receipt and its blobs are an answer to a job: everything that can be checked without running it again.
//! What another machine says is hostile, as what a child says. Pure.

use crate::data::task::PreparedTask;
use crate::experiment::ended::Ended;
use crate::record::causality::Evaluation;
use crate::record::encoding::DecodeError;
use crate::record::key::Hash;
use crate::record::outcome::{Outcome, Status, decode_state};
use crate::swarm::job::Job;
use crate::swarm::receipt::{End, Receipt};
use std::time::Duration;

/// Why a receipt is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it answers another job")]
    OtherJob,
    #[error("its outcome does not read: {0}")]
    Outcome(DecodeError),
    #[error("its state does not read: {0}")]
    State(DecodeError),
    #[error("{0}")]
    Contradiction(&'static str),
}

/// Largest encoded outcome in bytes that a job can have: its curve, the values that the guest read, and the rest.
pub const MAX_OUTCOME_BYTES: u64 = 64 << 20;

/// How the run of a job ended, if the receipt and its blobs are an answer to it. `signed_job` is the hash of the signed
/// job. The blobs have the hashes that the receipt names.
pub fn accept(
    (job, signed_job): (&Job, Hash),
    task: &PreparedTask,
    receipt: &Receipt,
    (outcome, state): (&[u8], Option<Vec<u8>>),
    wall: Duration,
) -> Result<Ended, Refused> {
    if receipt.job != signed_job || receipt.experiment != job.experiment() {
        return Err(Refused::OtherJob);
    }
    let End::Result { causality, .. } = receipt.end else {
        return Err(Refused::Contradiction("it has no result"));
    };
    let outcome = Outcome::decode(outcome, receipt.words()).map_err(Refused::Outcome)?;
    let no = |wrong: bool, why| if wrong { Err(Refused::Contradiction(why)) } else { Ok(()) };
    no(!outcome.status.is_result(), "a fault of the machine is no result")?;
    let is_scored = outcome.status == Status::Completed;
    no(outcome.score.is_some() != is_scored, "a run has a score if it completed, and no other has one")?;
    no(is_scored && causality.is_none(), "nothing says how its score is known to be causal")?;
    no(is_scored && outcome.state.is_none(), "a completed run has a state")?;
    no(outcome.state.map(Hash) != state.as_deref().map(Hash::of), "its state is not the one of its outcome")?;
    let limits = &job.manifest.limits;
    no(outcome.intervals.len() > job.manifest.intervals as usize, "it has more intervals than the job")?;
    no(outcome.curve.len() as u64 > limits.log_points, "it logged more than the job allows")?;
    if let Some(score) = &outcome.score {
        let honest = task.score(score.chunk_nats.clone());
        no(score.chunk_nats.len() != task.search.len(), "its score is not of this task's chunks")?;
        no(score.chunk_nats.iter().any(|nats| !nats.is_finite() || *nats < 0.0), "a chunk has an impossible score")?;
        no(honest.bpb.to_bits() != score.bpb.to_bits() || honest != *score, "its bits per byte are not its chunks'")?;
        no(score.bpb >= task.unigram_bpb, "it completed without learning")?;
    }
    if let Some(state) = &state {
        no(state.len() as u64 > most_state_bytes(job), "its state is larger than the job allows")?;
        decode_state(state).map_err(Refused::State)?;
    }
    let evaluation = causality.map(|causality| Evaluation { causality, probe_seed: job.probe_seed });
    Ok(Ended { outcome, state, evaluation, traffic: None, wall, word: None })
}

/// Largest encoded state of a job in bytes: the limit of its values, and room for names and shapes.
pub fn most_state_bytes(job: &Job) -> u64 {
    job.manifest.limits.state_bytes.saturating_add(1 << 20)
}
