//! Whatever writes the next mutation, seen from the night: a situation in, a proposal out, a problem back for repair, and
//! a ledger without which nothing that costs is sent. Types and traits; no I/O.

use crate::record::facts::Facts;
use crate::record::key::SourceKey;
use crate::record::spend::{Exchange, Spend};
use crate::record::stage::Stage;
use crate::record::trial::Trial;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Writes mutations. Each works in a thread of its own, one turn at a time.
pub trait Proposer: Send {
    /// Its name in policies, logs and the store: `evolve`, `llm.sonnet`, `command.agent`.
    fn name(&self) -> &str;

    /// Whether its proposals cost nothing but a moment: then it fills in for those that are at work or at rest.
    fn is_free(&self) -> bool {
        false
    }

    /// The next mutation; none when nothing is left to try from here.
    fn propose(&mut self, situation: &Situation, desk: &mut Desk) -> Result<Option<Proposal>, ProposeError>;

    /// Mends what it proposed in this situation; none where it cannot.
    fn repair(
        &mut self,
        _situation: &Situation,
        _failed: &Failed,
        _desk: &mut Desk,
    ) -> Result<Option<Proposal>, ProposeError> {
        Ok(None)
    }

    /// What the night has taught so far, in a page: rewritten now and then, and given to every proposer as
    /// [`Situation::digest`]. None where it cannot write one.
    fn digest(&mut self, _situation: &Situation, _desk: &mut Desk) -> Result<Option<String>, ProposeError> {
        Ok(None)
    }
}

/// A mutation to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The whole file.
    pub source: String,
    /// What its author claims or hopes, in one line; empty where nobody said.
    pub hypothesis: String,
    /// The change in one line, derived from the change itself: see [`crate::propose::description::describe`].
    pub description: String,
    /// Which kind of change, as its proposer calls it.
    pub operator: String,
}

/// What a proposer knows. A snapshot: trials that are decided later are in the next one.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The brief that a person wrote.
    pub brief: Arc<str>,
    /// The text to change.
    pub parent: Arc<Parent>,
    /// The baseline, as number 0, and everything tried on these terms, oldest first.
    pub past: Vec<Arc<Past>>,
    /// Proposed, but not decided yet.
    pub underway: Vec<Underway>,
    /// Standard deviation of the difference between two runs of one guest, in bits per byte: a smaller gain is noise.
    pub noise_floor: f64,
    /// Deterministic seconds that a mutation trains for.
    pub budget_seconds: f64,
    /// What the night has taught so far; empty at first.
    pub digest: Arc<str>,
    /// Number of the trial to propose, as far as it can be known: others may share the store.
    pub number: u64,
    /// The night's random seed.
    pub random_seed: u64,
}

impl Situation {
    /// Champions after which a negative result says little about a change to the present one.
    pub const EXPIRES_AFTER: usize = 3;

    /// Whether a trial failed to gain, but on a champion so far back that its idea may be worth another try. Trials on
    /// other terms (task, budget, limits) are not in the past at all.
    pub fn is_expired(&self, past: &Past) -> bool {
        let later = self.past.iter().filter(|p| p.trial.is_kept() && p.trial.number > past.trial.number);
        !past.trial.is_kept() && later.count() >= Self::EXPIRES_AFTER
    }
}

/// A source that is to be changed.
#[derive(Clone, Debug)]
pub struct Parent {
    /// Its trial; 0 for the baseline.
    pub number: u64,
    /// Its text.
    pub source: String,
    /// The change that made it, in words.
    pub description: String,
    /// Its bits per byte.
    pub bpb: f64,
    /// What the dry run found: steps, FLOPs, parameters, memory, where the budget goes.
    pub facts: Facts,
}

/// A trial that was decided, as proposers learn of it.
#[derive(Clone, Debug)]
pub struct Past {
    /// The trial; number 0 is the baseline.
    pub trial: Trial,
    /// Its text; none where the store has lost it.
    pub source: Option<String>,
    /// How its loss fell, where it was trained: see [`crate::record::facts::loss_curve`].
    pub losses: Vec<(u64, f64)>,
}

/// A proposal that is waiting or being trained.
#[derive(Clone, Debug)]
pub struct Underway {
    /// Key of its text, where it parses.
    pub source_key: Option<SourceKey>,
    /// The change in words.
    pub description: String,
}

/// An attempt that cannot be trained as it is: what goes back to its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The mutation; none where no mutation could be read from the answer.
    pub proposal: Option<Proposal>,
    /// The answer as it came, where no mutation could be read from it.
    pub answer: String,
    /// What found the fault.
    pub stage: Stage,
    /// The fault, with the guest's line (`train.rs:88:17`) where there is one. May hold a guest's own words.
    pub message: String,
    /// Which repair this is to be, from 1.
    pub repair: u32,
}

/// Why a turn brought no proposal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing will come of this proposer tonight: a key that is refused, a cap that is reached, a missing program.
    #[error("{0}")]
    Stop(String),
    /// Not now: a rate limit, an overloaded or absent server.
    #[error("{reason}")]
    Later {
        /// What happened.
        reason: String,
        /// How long to leave it alone, where it was said.
        after: Option<Duration>,
    },
    /// An answer from which no mutation can be read. It goes back to its author.
    #[error("{reason}")]
    Answer {
        /// What is wrong with it.
        reason: String,
        /// The answer, capped.
        answer: String,
    },
    /// The night ended meanwhile.
    #[error("interrupted")]
    Interrupted,
}

/// What a proposer works with during one turn.
pub struct Desk<'a> {
    /// The night's accounts.
    pub ledger: &'a mut dyn Ledger,
    /// Set when the night ends: whatever waits should give up with [`ProposeError::Interrupted`].
    pub cancelled: &'a AtomicBool,
}

/// The night's accounts. What may cost something is reserved before it is sent, and settled after: so a cap is never
/// passed, not even by a host that is killed between the two.
pub trait Ledger {
    /// Sets aside what a request may cost at most. [`ProposeError::Stop`] where that does not fit under a cap: then
    /// nothing may be sent.
    fn reserve(&mut self, worst: &Spend) -> Result<Reservation, ProposeError>;

    /// Replaces a reservation by what was really spent, and files what was sent and what came back.
    fn settle(&mut self, reservation: Reservation, exchange: &Exchange) -> Result<(), ProposeError>;
}

/// A place in the ledger that waits for its [`Ledger::settle`]; one that never comes counts in full.
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation(pub i64);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::ending::Ending;
    use crate::record::trial::Findings;

    /// A decided trial, for tests of whatever reads the past.
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

    /// A situation with that past.
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
            parent: Arc::new(parent),
            number: past.len() as u64,
            past,
            underway: Vec::new(),
            noise_floor: 0.01,
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
        assert!(!with(2).is_expired(&bad));
        assert!(with(3).is_expired(&bad));
        let kept = past(1, Ending::Keep, Some(-0.1));
        assert!(!with(3).is_expired(&kept), "a gain is a gain");
    }
}
