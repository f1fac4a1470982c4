//! One turn of a proposer: it proposes, and compiler and dry run check the proposal while another mutation trains. A
//! faulty proposal goes back for repair. Every answer is recorded. The store keeps the results of the checks, so the
//! trial does not repeat them. A turn makes no decision about the night.

use crate::experiment::bench::Bench;
use crate::experiment::prepare::Step;
use crate::night::turns::digest;
use crate::night::turns::ledger::Accounts;
use crate::propose::proposer::{Desk, Failed, Proposal, ProposeError, Proposer, Situation};
use crate::record::key::SourceKey;
use crate::record::spend::{Caps, Spend};
use crate::record::stage::Stage;
use crate::record::store::{AnswerOutcome, NewAnswer};
use crate::system::clock::unix_ms;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Pause before an answer is recorded again.
const AGAIN: Duration = Duration::from_secs(1);

/// The request to a proposer.
pub struct Turn {
    /// What the proposer knows.
    pub situation: Situation,
    /// Whether the proposer should first rewrite the digest.
    pub wants_digest: bool,
}

/// A proposal that waits for its trial.
#[derive(Clone, Debug)]
pub struct Draft {
    pub author: String,
    /// The trial whose source it changes.
    pub parent: u64,
    pub proposal: Proposal,
    /// Its row in the store, if a proposer of the night wrote it.
    pub id: Option<i64>,
    /// Key of its text, if the text parses.
    pub source_key: Option<SourceKey>,
    /// The fault that remains after the last repair. The trial will refuse the proposal.
    pub fault: Option<Fault>,
}

impl Draft {
    /// Whether somebody signed it who is not of this store.
    pub fn is_of_a_stranger(&self) -> bool {
        self.proposal.credit.is_some()
    }
}

/// A fault that the checks before a trial found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The check that found it.
    pub stage: Stage,
    pub message: String,
}

/// The result of a turn.
pub struct Report {
    pub written: Written,
    /// Why the proposer stops for the night, or pauses.
    pub halt: Option<ProposeError>,
    pub digest: Option<String>,
    /// Whether a digest was asked for.
    pub wanted_digest: bool,
    /// Cost of the proposal, including repairs.
    pub spend: Spend,
    /// Why an answer of the turn was not recorded.
    pub unrecorded: Option<String>,
}

impl Report {
    /// The report of a turn that panicked.
    pub fn panicked() -> Self {
        let halt = ProposeError::Stop("failed in a way that it should not; please report what is above".into());
        let (halt, spend) = (Some(halt), Spend::default());
        Self { written: Written::Halted, halt, digest: None, wanted_digest: false, spend, unrecorded: None }
    }
}

/// The proposal of a turn, or why there is none.
pub enum Written {
    /// A mutation to try.
    Draft(Box<Draft>),
    /// The proposer has nothing left to try from this parent.
    Nothing,
    /// The last answer contains no readable mutation. Holds the reason.
    Lost(String),
    /// There is no answer; [`Report::halt`] says why.
    Halted,
}

/// A proposer with everything that its thread needs.
pub struct Worker<'a> {
    /// Its own access to compiler, sandbox and store.
    pub bench: Bench,
    pub proposer: Box<dyn Proposer>,
    /// The night that pays.
    pub night: i64,
    pub caps: Caps,
    /// Maximum number of repairs of one proposal.
    pub repairs: u32,
    /// Set when the night is over.
    pub cancelled: &'a AtomicBool,
}

impl Worker<'_> {
    /// Asks for a digest if needed, then for a proposal, and for repairs.
    pub fn turn(&mut self, turn: &Turn) -> Report {
        let Self { bench, proposer, night, caps, repairs, cancelled } = self;
        let name = proposer.name().to_string();
        let mut accounts = Accounts::new(&bench.store, *night, &name, *caps);
        let mut digest = None;
        if turn.wants_digest {
            let mut desk = Desk { ledger: &mut accounts, cancelled };
            let written = proposer.digest(&turn.situation, &mut desk).ok().flatten();
            digest = written.map(|text| digest::cap(&text)).filter(|text| !text.trim().is_empty());
            accounts.take_requests();
        }
        let (situation, first, unrecorded) = (&turn.situation, None, None);
        let mut filing = Filing { bench, night: *night, name: &name, situation, first, cancelled, unrecorded };
        let (written, halt) = filing.propose(proposer.as_mut(), &mut accounts, *repairs);
        let spent = filing.first.and_then(|id| bench.store.turn_spend(id).ok());
        let spend = spent.map(|(spend, _)| spend).unwrap_or_default();
        let unrecorded = filing.unrecorded;
        Report { written, halt, digest, wanted_digest: turn.wants_digest, spend, unrecorded }
    }
}

/// Records the answers of one turn.
struct Filing<'a> {
    bench: &'a Bench,
    night: i64,
    name: &'a str,
    situation: &'a Situation,
    first: Option<i64>,
    /// Set when the night is over.
    cancelled: &'a AtomicBool,
    /// Why an answer was not recorded.
    unrecorded: Option<String>,
}

/// How long an answer took, and the requests behind it.
struct Came {
    wall_ms: i64,
    requests: Vec<i64>,
}

/// An answer that cannot be trained, with its row in the store.
struct Lost {
    failed: Failed,
    id: Option<i64>,
    source_key: Option<SourceKey>,
}

/// The content of an answer.
enum Wrote<'a> {
    Proposal(&'a Proposal),
    Text(&'a str),
    Nothing,
}

/// The result of the checks: the key of the text if it parses, and the fault if there is one.
struct Checked {
    source_key: Option<SourceKey>,
    fault: Option<Fault>,
}

impl Filing<'_> {
    fn propose(
        &mut self,
        proposer: &mut dyn Proposer,
        accounts: &mut Accounts,
        repairs: u32,
    ) -> (Written, Option<ProposeError>) {
        let cancelled = self.cancelled;
        let mut last: Option<Lost> = None;
        for repair in 0..=repairs {
            let started = Instant::now();
            let mut desk = Desk { ledger: accounts, cancelled };
            let answer = match &last {
                None => proposer.propose(self.situation, &mut desk),
                Some(lost) => proposer.repair(self.situation, &lost.failed, &mut desk),
            };
            let came = Came { wall_ms: started.elapsed().as_millis() as i64, requests: accounts.take_requests() };
            let next = repair + 1;
            last = match answer {
                Ok(None) if last.is_none() => return (Written::Nothing, None),
                Ok(None) => break,
                Ok(Some(proposal)) => {
                    let Checked { source_key, fault } = check(self.bench, &proposal, cancelled);
                    let wrote = Wrote::Proposal(&proposal);
                    let Some(Fault { stage, message }) = fault else {
                        let id = self.file(&came, AnswerOutcome::Ready, None, "", wrote);
                        return (Written::Draft(Box::new(self.draft(proposal, id, source_key, None))), None);
                    };
                    let id = self.file(&came, AnswerOutcome::Faulty, Some(stage), &message, wrote);
                    let (proposal, answer) = (Some(proposal), String::new());
                    Some(Lost { failed: Failed { proposal, answer, stage, message, repair: next }, id, source_key })
                }
                Err(ProposeError::Answer { reason, answer }) => {
                    let stage = Stage::Answer;
                    let id = self.file(&came, AnswerOutcome::Unreadable, Some(stage), &reason, Wrote::Text(&answer));
                    let failed = Failed { proposal: None, answer, stage, message: reason, repair: next };
                    Some(Lost { failed, id, source_key: None })
                }
                Err(halt) => {
                    let outcome = match &halt {
                        ProposeError::Stop(_) => Some(AnswerOutcome::Stopped),
                        ProposeError::Later { .. } => Some(AnswerOutcome::Later),
                        ProposeError::Interrupted | ProposeError::Answer { .. } => None,
                    };
                    if let Some(outcome) = outcome {
                        self.file(&came, outcome, None, &halt.to_string(), Wrote::Nothing);
                    }
                    return (self.give_up(last), Some(halt));
                }
            };
        }
        (self.give_up(last), None)
    }

    /// After the last failed repair. A proposal with a source still goes to a trial, which records why it was refused.
    fn give_up(&self, last: Option<Lost>) -> Written {
        let Some(Lost { failed, id, source_key }) = last else { return Written::Halted };
        let Failed { proposal, stage, message, .. } = failed;
        match proposal {
            None => Written::Lost(message),
            Some(proposal) => {
                Written::Draft(Box::new(self.draft(proposal, id, source_key, Some(Fault { stage, message }))))
            }
        }
    }

    fn draft(&self, proposal: Proposal, id: Option<i64>, source_key: Option<SourceKey>, fault: Option<Fault>) -> Draft {
        let (author, parent) = (self.name.to_string(), self.situation.parent.number);
        Draft { author, parent, proposal, id, source_key, fault }
    }

    /// Records an answer. While the machine fails, it tries again, until the night ends. An answer that could not be
    /// recorded is still used, and the night is told.
    fn file(
        &mut self,
        came: &Came,
        outcome: AnswerOutcome,
        stage: Option<Stage>,
        fault: &str,
        wrote: Wrote,
    ) -> Option<i64> {
        let (text, proposal) = match wrote {
            Wrote::Proposal(proposal) => (Some(proposal.source.as_str()), Some(proposal)),
            Wrote::Text(text) => (Some(text), None),
            Wrote::Nothing => (None, None),
        };
        let said = |part: fn(&Proposal) -> &str| proposal.map(part).unwrap_or_default();
        let answer = NewAnswer {
            first: self.first,
            unix_ms: unix_ms(),
            proposer: self.name,
            parent: self.situation.parent.number,
            outcome,
            stage: stage.map(Stage::name),
            fault,
            text,
            hypothesis: said(|p| &p.hypothesis),
            description: said(|p| &p.description),
            operator: said(|p| &p.operator),
            sent: proposal.and_then(|p| p.credit.as_ref()).map(|credit| credit.sent),
            wall_ms: came.wall_ms,
        };
        let id = loop {
            match self.bench.store.add_answer(self.night, &answer, &came.requests) {
                Ok(id) => break Some(id),
                Err(error) if error.is_of_the_machine() && !self.cancelled.load(Ordering::Relaxed) => {
                    std::thread::sleep(AGAIN);
                }
                Err(error) => {
                    self.unrecorded = Some(format!("an answer was not recorded: {error}"));
                    break None;
                }
            }
        };
        self.first = self.first.or(id);
        id
    }
}

/// Parses, compiles and runs dry. A failure of the host is not a fault of the proposal; the trial will report it.
fn check(bench: &Bench, proposal: &Proposal, cancelled: &AtomicBool) -> Checked {
    let mut source_key = None;
    let stopped = || cancelled.load(Ordering::Relaxed);
    let prepared = bench.prepare_while(&proposal.source, &stopped, |step| {
        if let Step::Parsed(key) = step {
            source_key = Some(key);
        }
        ControlFlow::<Infallible>::Continue(())
    });
    let fault =
        prepared.err().and_then(|refusal| Some(Fault { stage: refusal.stage()?, message: refusal.to_string() }));
    Checked { source_key, fault }
}
