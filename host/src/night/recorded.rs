//! Replays the proposals of a recorded night from the store, without its proposers: the same sources in the same order.

use crate::night::memory::source_of;
use crate::propose::proposer::{Desk, Proposal, ProposeError, Proposer, Situation};
use crate::record::ending::Ending;
use crate::record::store::{Store, StoreError, TrialRecord};
use std::collections::VecDeque;

#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// The night does not exist or has no trials.
    #[error("night {0} has no recorded proposals; `host log` lists nights and their trials")]
    Nothing(i64),
    /// No night of the store has trials.
    #[error("no night of this store has recorded proposals; `host run` records them")]
    NoNight,
    #[error("the source of trial #{number} of night {night} is damaged or missing; its night cannot be run as it was")]
    Gone { night: i64, number: u64 },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The recorded night that runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Store id of the night.
    pub night: i64,
    /// Store id of its first trial. The new night starts with the trials before it.
    pub first_trial: i64,
}

/// A proposer that returns the proposals of one recorded night.
#[derive(Debug)]
pub struct Recorded {
    again: Again,
    proposals: VecDeque<Proposal>,
}

impl Recorded {
    /// Name of this proposer in logs and in the store.
    pub const NAME: &'static str = "recorded";

    /// Reads the proposals of a night. Without a number, it takes the last night that has proposals.
    pub fn open(store: &Store, night: Option<i64>) -> Result<Self, RecordedError> {
        let trials = match night {
            Some(night) => store.trials(Some(night))?,
            None => {
                let all = store.trials(None)?;
                let last = all.iter().map(|record| record.night).max().ok_or(RecordedError::NoNight)?;
                all.into_iter().filter(|record| record.night == last).collect()
            }
        };
        // What was screened got no verdict then, and gets none now.
        let trials: Vec<TrialRecord> =
            trials.into_iter().filter(|record| record.trial.found.verdict != Ending::Screened).collect();
        let Some((night, first_trial)) = trials.iter().map(|record| (record.night, record.id)).min() else {
            return Err(night.map_or(RecordedError::NoNight, RecordedError::Nothing));
        };
        let proposals = trials.iter().map(|record| proposal(store, record)).collect::<Result<_, _>>()?;
        Ok(Self { again: Again { night, first_trial }, proposals })
    }

    pub fn again(&self) -> Again {
        self.again
    }

    /// Number of proposals left.
    pub fn len(&self) -> usize {
        self.proposals.len()
    }

    /// Whether no proposals are left.
    pub fn is_empty(&self) -> bool {
        self.proposals.is_empty()
    }
}

fn proposal(store: &Store, record: &TrialRecord) -> Result<Proposal, RecordedError> {
    let trial = &record.trial;
    let gone = RecordedError::Gone { night: record.night, number: trial.number };
    Ok(Proposal {
        source: source_of(store, trial)?.ok_or(gone)?,
        hypothesis: trial.hypothesis.clone(),
        description: trial.description.clone(),
        operator: trial.operator.clone(),
        credit: trial.credit.clone(),
    })
}

impl Proposer for Recorded {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn propose(&mut self, _: &Situation, _: &mut Desk) -> Result<Option<Proposal>, ProposeError> {
        Ok(self.proposals.pop_front())
    }
}
