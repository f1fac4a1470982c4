//! A night's proposals once more, from the store and without whoever wrote them: same sources, same order.

use crate::night::memory::source_of;
use crate::propose::proposer::{Desk, Proposal, ProposeError, Proposer, Situation};
use crate::record::store::{Store, StoreError, TrialRecord};
use std::collections::VecDeque;

/// Why a night cannot be run from the store.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// No such night, or one without trials.
    #[error("night {0} has no recorded proposals; `host log` lists nights and their trials")]
    Nothing(i64),
    /// The store has no night with trials at all.
    #[error("no night of this store has recorded proposals; `host run` records them")]
    NoNight,
    /// A source is gone.
    #[error("the source of trial #{number} of night {night} is damaged or missing; its night cannot be run as it was")]
    Gone {
        /// The night.
        night: i64,
        /// The trial.
        number: u64,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The night that is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Its number in the store.
    pub night: i64,
    /// Its first trial, by number in the store: what was known before is known again.
    pub first_trial: i64,
}

/// The proposals of one recorded night.
#[derive(Debug)]
pub struct Recorded {
    again: Again,
    proposals: VecDeque<Proposal>,
}

impl Recorded {
    /// Its name in logs and the store.
    pub const NAME: &'static str = "recorded";

    /// Reads a night's proposals; without a number, those of the last night that has any.
    pub fn open(store: &Store, night: Option<i64>) -> Result<Self, RecordedError> {
        let trials = match night {
            Some(night) => store.trials(Some(night))?,
            None => {
                let all = store.trials(None)?;
                let last = all.iter().map(|record| record.night).max().ok_or(RecordedError::NoNight)?;
                all.into_iter().filter(|record| record.night == last).collect()
            }
        };
        let Some((night, first_trial)) = trials.iter().map(|record| (record.night, record.id)).min() else {
            return Err(night.map_or(RecordedError::NoNight, RecordedError::Nothing));
        };
        let proposals = trials.iter().map(|record| proposal(store, record)).collect::<Result<_, _>>()?;
        Ok(Self { again: Again { night, first_trial }, proposals })
    }

    /// The night that it was.
    pub fn again(&self) -> Again {
        self.again
    }

    /// Proposals that are left.
    pub fn len(&self) -> usize {
        self.proposals.len()
    }

    /// Whether none is left.
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
