//! The interface between the night and a proposer: it gets a situation, returns a proposal, and may repair a fault. The
//! ledger must accept every cost before it arises. Types and traits; no I/O.

use crate::record::facts::Facts;
use crate::record::hint::Hint;
use crate::record::key::{ContextKey, SourceKey, TaskHash};
use crate::record::spend::{Exchange, Spend};
use crate::record::stage::Stage;
use crate::record::store::StoreError;
use crate::record::trial::{Credit, Trial};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Writes mutations. Each proposer works in its own thread, one turn at a time.
pub trait Proposer: Send {
    /// Its name in policies, logs and the store: `evolve`, `llm.sonnet`, `command.agent`.
    fn name(&self) -> &str;

    /// Whether its proposals are free and fast. Then it fills in for proposers that are busy or paused.
    fn is_free(&self) -> bool {
        false
    }

    /// Whether somebody may bring it something to propose at any time. Then it is asked again after each trial.
    fn is_refilled(&self) -> bool {
        false
    }

    /// Whether its proposals are made from the champion. If it is free, one that waited while another was kept is then
    /// made anew.
    fn is_of_champion(&self) -> bool {
        true
    }

    /// The next mutation; `None` if nothing is left to try from this parent.
    fn propose(&mut self, situation: &Situation, desk: &mut Desk) -> Result<Option<Proposal>, ProposeError>;

    /// Repairs its own proposal in the same situation; `None` if it cannot.
    fn repair(
        &mut self,
        _situation: &Situation,
        _failed: &Failed,
        _desk: &mut Desk,
    ) -> Result<Option<Proposal>, ProposeError> {
        Ok(None)
    }

    /// A digest of the night so far, in one page. It is rewritten from time to time and given to every proposer as
    /// [`Situation::digest`]. `None` if this proposer cannot write one.
    fn digest(&mut self, _situation: &Situation, _desk: &mut Desk) -> Result<Option<String>, ProposeError> {
        Ok(None)
    }
}

/// Characters of a hypothesis that are kept.
pub const HYPOTHESIS_CHARS: usize = 300;

/// A mutation to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub source: String,
    /// The author's hypothesis in one line of at most [`HYPOTHESIS_CHARS`]; empty if there is none.
    pub hypothesis: String,
    /// The change in one line, derived from the source: see [`crate::propose::description::describe`].
    pub description: String,
    /// The kind of change, in the proposer's words.
    pub operator: String,
    /// Whom it is owed to, if a stranger sent it.
    pub credit: Option<Credit>,
}

/// Everything that a proposer knows, as a snapshot. Trials that are decided later are in the next one.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The user's brief.
    pub brief: Arc<str>,
    /// The text to learn, and how it is scored.
    pub task: TaskHash,
    /// The terms of the night.
    pub context: ContextKey,
    /// The source to change.
    pub parent: Arc<Parent>,
    /// The baseline (number 0) and every trial on these terms, oldest first.
    pub past: Vec<Arc<Past>>,
    /// Proposals that are not decided yet.
    pub underway: Vec<Underway>,
    /// What other labs say that they tried on these terms without gain.
    pub hints: Arc<[Hint]>,
    /// Standard deviation of a score between random seeds, in bits per byte.
    pub noise: f64,
    /// Deterministic seconds of training per mutation.
    pub budget_seconds: f64,
    /// The lessons of the night so far; empty at first.
    pub digest: Arc<str>,
    /// Expected number of the trial to propose. Other processes may share the store and take it first.
    pub number: u64,
    /// The night's random seed.
    pub random_seed: u64,
}

impl Situation {
    /// A negative result expires after this number of newer champions.
    pub const EXPIRES_AFTER: usize = 3;

    /// How many of the latest trials are known with their sources and losses. Of older ones, only those that were kept
    /// are.
    pub const RECENT: u64 = 512;

    /// The trials that failed to gain on a champion so old that the idea may be worth another try. Trials on other
    /// terms (task, budget, limits) are never in the past.
    pub fn expired(&self) -> Expired {
        let kept = self.past.iter().rev().filter(|past| past.trial.is_kept());
        Expired { before: kept.map(|past| past.trial.number).nth(Self::EXPIRES_AFTER - 1).unwrap_or(0) }
    }

    /// The number of the oldest trial that is known with its source.
    pub fn first_recent(&self) -> u64 {
        self.past.last().map_or(0, |past| (past.trial.number + 1).saturating_sub(Self::RECENT))
    }
}

/// See [`Situation::expired`].
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Trials with a lower number have expired, unless they were kept.
    before: u64,
}

impl Expired {
    pub fn holds(self, past: &Past) -> bool {
        !past.trial.is_kept() && past.trial.number < self.before
    }
}

/// A source to change.
#[derive(Clone, Debug)]
pub struct Parent {
    /// Number of its trial; 0 for the baseline.
    pub number: u64,
    pub source: String,
    /// The change that made it, in words.
    pub description: String,
    pub bpb: f64,
    /// The dry run's facts: steps, FLOPs, parameters, memory, shares of the budget.
    pub facts: Facts,
}

/// A decided trial, as proposers see it.
#[derive(Clone, Debug)]
pub struct Past {
    /// The trial; number 0 is the baseline.
    pub trial: Trial,
    /// Its source; `None` if the store has lost it, or if the trial is not [`Situation::RECENT`] and was not kept.
    pub source: Option<String>,
    /// Its loss curve, if it was trained and is known: see [`crate::record::facts::loss_curve`].
    pub losses: Vec<(u64, f64)>,
}

/// A proposal that waits or is being trained.
#[derive(Clone, Debug)]
pub struct Underway {
    /// Key of its source, if it parses.
    pub source_key: Option<SourceKey>,
    /// The change in words.
    pub description: String,
}

/// An attempt that cannot be trained. It goes back to its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The mutation; `None` if the answer held no readable one.
    pub proposal: Option<Proposal>,
    /// The whole answer, if it held no readable mutation.
    pub answer: String,
    /// The stage that found the fault.
    pub stage: Stage,
    /// The fault, with the guest's line (`train.rs:88:17`) if known. May hold a guest's own words.
    pub message: String,
    /// Number of this repair, from 1.
    pub repair: u32,
}

/// Why a turn ended without a proposal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The proposer is done for tonight: a refused key, a reached cap, a missing program.
    #[error("{0}")]
    Stop(String),
    /// Not now: a rate limit, or a server that is overloaded or absent.
    #[error("{reason}")]
    Later {
        reason: String,
        /// The wait before the next request, if known.
        after: Option<Duration>,
    },
    /// An answer without a readable mutation. It goes back to its author.
    #[error("{reason}")]
    Answer {
        reason: String,
        /// The answer, capped.
        answer: String,
    },
    /// The night ended in the meantime.
    #[error("interrupted")]
    Interrupted,
}

impl From<StoreError> for ProposeError {
    fn from(error: StoreError) -> Self {
        match error.is_of_the_machine() {
            true => Self::Later { reason: error.to_string(), after: None },
            false => Self::Stop(error.to_string()),
        }
    }
}

/// The tools of a proposer for one turn.
pub struct Desk<'a> {
    /// The night's accounts.
    pub ledger: &'a mut dyn Ledger,
    /// Set when the night ends. Waiting code should then return [`ProposeError::Interrupted`].
    pub cancelled: &'a AtomicBool,
}

/// The night's accounts. A cost is reserved before its request is sent, and settled afterwards. So a cap is never
/// exceeded, even if the host is killed in between.
pub trait Ledger {
    /// Reserves the worst-case cost of a request. Returns [`ProposeError::Stop`] if it does not fit under a cap; then
    /// the request must not be sent.
    fn reserve(&mut self, worst: &Spend) -> Result<Reservation, ProposeError>;

    /// Replaces a reservation by the actual cost, and stores the request and the answer.
    fn settle(&mut self, reservation: Reservation, exchange: &Exchange) -> Result<(), ProposeError>;
}

/// A reservation that waits for its [`Ledger::settle`]. Without a settlement it counts in full.
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation(pub i64);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::ending::Ending;
    use crate::record::trial::Findings;

    /// For proposers that cost nothing.
    pub(crate) struct NoLedger;

    impl Ledger for NoLedger {
        fn reserve(&mut self, _: &Spend) -> Result<Reservation, ProposeError> {
            Err(ProposeError::Interrupted)
        }

        fn settle(&mut self, _: Reservation, _: &Exchange) -> Result<(), ProposeError> {
            Ok(())
        }
    }

    /// A decided trial, for tests that read the past.
    pub(crate) fn past(number: u64, verdict: Ending, delta: Option<f64>) -> Arc<Past> {
        let source = format!("const N: u64 = {number};");
        let found = Findings { bpb: delta.map(|delta| 2.5 + delta), delta, ..Findings::new(verdict) };
        let trial = Trial {
            number,
            proposer: "evolve".into(),
            description: format!("change {number}"),
            operator: "test".into(),
            ..Trial::baseline(&source, found)
        };
        Arc::new(Past { trial, source: Some(source), losses: Vec::new() })
    }

    /// A situation with this past.
    pub(crate) fn situation(past: Vec<Arc<Past>>) -> Situation {
        let parent = Parent {
            number: 0,
            source: "const LR: f32 = 0.02;\nfn train() {}\n".into(),
            description: "baseline".into(),
            bpb: 2.5,
            facts: Facts::default(),
        };
        Situation {
            brief: "Lower is better.".into(),
            task: TaskHash::of(b"t"),
            context: ContextKey::of(b"t"),
            hints: [].into(),
            parent: Arc::new(parent),
            number: past.len() as u64,
            past,
            underway: Vec::new(),
            noise: 0.01,
            budget_seconds: 1.0,
            digest: "".into(),
            random_seed: 1,
        }
    }

    #[test]
    fn a_negative_result_expires_when_the_champion_has_changed_often_enough() {
        let bad = past(1, Ending::Discard, Some(0.1));
        let keeps = |n: u64| (2..2 + n).map(|i| past(i, Ending::Keep, Some(-0.01)));
        let with = |n| situation(std::iter::once(bad.clone()).chain(keeps(n)).collect());
        assert!(!with(2).expired().holds(&bad));
        assert!(with(3).expired().holds(&bad));
        let kept = past(1, Ending::Keep, Some(-0.1));
        assert!(!with(3).expired().holds(&kept), "a gain is a gain");
    }
}
