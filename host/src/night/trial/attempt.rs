//! One trial of a night, under the store's lock: judge a mutation against the current champion and record the result.

use crate::night::error::NightError;
use crate::night::event::{Event, TrialLine};
use crate::night::lock::lock;
use crate::night::run::Night;
use crate::night::trial::champion::Champion;
use crate::night::trial::contest::{Contest, Depth, Judgement};
use crate::night::trial::seeds::random_seeds;
use crate::night::turns::bandit::{cost, reward};
use crate::night::turns::turn::{Draft, Fault};
use crate::propose::description;
use crate::propose::proposer::Proposal;
use crate::record::ending::Ending;
use crate::record::spend::Spend;
use crate::record::stage::Stage;
use crate::record::store::{AnswerOutcome, NewAnswer, TrialRecord};
use crate::record::trial::{Findings, Trial};
use crate::system::clock::unix_ms;
use crate::system::sanitize;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// A mutation that fails this number of times while control programs succeed is tried once more, and then set aside as
/// a host fault: it is not judged, and the night goes on.
const MOST_FAULTS: u32 = 2;
/// The same for a stranger's, who may have meant it.
const MOST_FAULTS_OF_STRANGERS: u32 = 1;
/// Characters that are kept of a hypothesis or description, and of a name. Proposers cut earlier; this is for all
/// others.
const TEXT_CHARS: usize = 1000;
const AUTHOR_CHARS: usize = 100;

/// A trial that was decided.
pub struct Decided {
    pub line: TrialLine,
    /// Reward of the proposer, and cost of the trial.
    pub reward_and_cost: (f64, f64),
}

/// A text from outside the night, and who sent it.
pub struct Outsider<'a> {
    /// As the log names its author: `inbox`, `claude`.
    pub author: &'a str,
    /// By which door it came: `file`, `mcp`.
    pub operator: &'a str,
    /// The whole text.
    pub source: String,
    /// What its author hopes for; may be empty.
    pub hypothesis: String,
}

impl Night<'_> {
    /// Tries a text that somebody outside the night wrote: a file or an agent. None if the user stopped it.
    pub fn try_text(&mut self, outsider: Outsider) -> Result<Option<TrialLine>, NightError> {
        let draft = self.draft_of(outsider);
        Ok(self.try_patiently(&draft, Depth::Judge)?.map(|decided| decided.line))
    }

    /// Tries such a text, and records it as a proposal before. If this process ends before the verdict, the next night
    /// tries it first. If the trial is stopped, it is withdrawn, unless a verdict was `promised` by then.
    pub fn try_for_author(
        &mut self,
        outsider: Outsider,
        promised: &Cell<bool>,
    ) -> Result<Option<TrialLine>, NightError> {
        let mut draft = self.draft_of(outsider);
        let proposal = &draft.proposal;
        let answer = NewAnswer {
            first: None,
            unix_ms: unix_ms(),
            proposer: &draft.author,
            parent: draft.parent,
            outcome: AnswerOutcome::Ready,
            stage: None,
            fault: "",
            text: Some(&proposal.source),
            hypothesis: &proposal.hypothesis,
            description: &proposal.description,
            operator: &proposal.operator,
            sent: None,
            wall_ms: 0,
        };
        let id = self.bench.store.add_answer(self.id, &answer, &[])?;
        draft.id = Some(id);
        let decided = self.try_patiently(&draft, Depth::Judge);
        if matches!(decided, Ok(Some(_))) {
            return Ok(decided?.map(|decided| decided.line));
        }
        // A night that began meanwhile may have found it untried.
        if let Some(past) = self.memory.past.iter().find(|past| past.trial.proposal == Some(id)) {
            let elapsed_s = self.started.elapsed().as_secs_f64();
            return Ok(Some(TrialLine { trial: past.trial.clone(), elapsed_s, repairs: 0, spend: Spend::default() }));
        }
        if !promised.get() {
            self.bench.store.withdraw(id)?;
        }
        Ok(decided?.map(|decided| decided.line))
    }

    /// Compares such a text with the champion on one random seed, without a verdict.
    pub fn screen_text(&mut self, outsider: Outsider) -> Result<Option<TrialLine>, NightError> {
        let draft = self.draft_of(outsider);
        Ok(self.try_patiently(&draft, Depth::Screen)?.map(|decided| decided.line))
    }

    fn draft_of(&self, outsider: Outsider) -> Draft {
        let Outsider { author, operator, source, hypothesis } = outsider;
        let (parent, _) = &self.parent;
        let description = description::describe(&parent.candidate.text, &source);
        let proposal = Proposal { source, hypothesis, description, operator: operator.into(), credit: None };
        let parent = parent.trial;
        Draft { author: author.into(), parent, proposal, id: None, source_key: None, fault: None }
    }

    /// Runs one trial. If the machine fails, it rests and tries again. None if the user stopped it.
    pub(in crate::night) fn try_patiently(
        &mut self,
        draft: &Draft,
        depth: Depth,
    ) -> Result<Option<Decided>, NightError> {
        let (began, mut faults) = (Instant::now(), 0);
        let most_faults = if draft.is_of_a_stranger() { MOST_FAULTS_OF_STRANGERS } else { MOST_FAULTS };
        loop {
            let fault = match self.try_draft(draft, depth, began, faults >= most_faults) {
                Err(error) if error.is_of_the_machine() => error,
                tried => {
                    self.rest.end();
                    return tried;
                }
            };
            if matches!(fault, NightError::Machine(_)) && self.is_the_likelier_cause(draft) {
                faults += 1;
                // The machine works, so the night's patience with it is not what this uses up.
                self.rest.end();
            }
            if !self.rest.wait(&fault, self.stop, &mut *self.tell) {
                return if self.stop.soon() { Ok(None) } else { Err(fault) };
            }
        }
    }

    /// Whether a mutation rather than the machine made a run fail: control programs succeed. After a mutation of our
    /// own that was set aside, the next one is not. Strangers may send many.
    fn is_the_likelier_cause(&mut self, draft: &Draft) -> bool {
        if self.has_set_aside && !draft.is_of_a_stranger() {
            return false;
        }
        let (control, stop) = (&self.baseline.candidate.component, self.stop);
        let tell = &mut *self.tell;
        self.bench.check(control, &|| stop.now(), &mut |text| tell(Event::Note { text: text.into() })).is_ok()
    }

    /// Holds the store's lock until the trial is recorded. The lock makes trial numbers unique. The trials of other
    /// processes are read first: a proposal that one of them has tried already is not tried again. A host fault is an
    /// error, unless the mutation is to be set aside for it.
    fn try_draft(
        &mut self,
        draft: &Draft,
        depth: Depth,
        began: Instant,
        sets_aside: bool,
    ) -> Result<Option<Decided>, NightError> {
        let Some(_lock) = lock(&self.bench.store, self.stop, &mut *self.tell)? else { return Ok(None) };
        self.take_up()?;
        if draft.id.is_some() && self.memory.past.iter().any(|past| past.trial.proposal == draft.id) {
            // Another process on this store found it untried.
            return Ok(None);
        }
        let number = self.memory.next_number();
        let started = Instant::now();
        (self.tell)(Event::Started { number, description: draft.proposal.description.clone() });
        let contest = Contest {
            bench: self.bench,
            champion: &self.champion,
            noise: self.noise,
            rule: &self.policy.selection,
            experience: &self.memory.experience,
            operator: &draft.proposal.operator,
            seen: &self.memory.seen,
            seeds: &random_seeds(self.policy, self.policy.selection.most_seeds),
            rungs: &self.rungs,
            depth,
            stop: self.stop,
        };
        let judged = match &draft.fault {
            // The check before the trial found this fault already, and the author has seen it.
            Some(Fault { stage: Stage::Source | Stage::Compile, message }) => {
                Some(contest.refuse(draft.source_key, message))
            }
            _ => contest.judge(&draft.proposal.source, &mut *self.tell)?,
        };
        let Some(judged) = judged else { return Ok(None) };
        if judged.found.verdict == Ending::HostFault && !sets_aside {
            return Err(NightError::Machine(judged.found.reason));
        }
        let is_set_aside = judged.found.verdict == Ending::HostFault;
        if !draft.is_of_a_stranger() {
            self.has_set_aside = is_set_aside;
        }
        // What is set aside took the time of all its tries.
        let wall = if is_set_aside { began.elapsed() } else { started.elapsed() };
        self.record(draft, number, judged, wall).map(Some)
    }

    /// Records a trial. After that, nothing may fail: a trial that is tried again would be there twice.
    fn record(&mut self, draft: &Draft, number: u64, judged: Judgement, wall: Duration) -> Result<Decided, NightError> {
        let trial = self.trial(draft, number, judged.found.clone(), wall)?;
        let store = &self.bench.store;
        let (spend, repairs) = store.cost_of(&trial)?;
        let id = store.add_trial(self.id, &trial, &judged.runs)?;
        self.tally.count(&judged, wall);
        let record = TrialRecord { id, night: self.id, trial: trial.clone() };
        if let Err(error) = self.memory.remember(store, record, true) {
            (self.tell)(Event::Note { text: format!("trial #{number} is recorded, and read again later: {error}") });
        }
        let reward_and_cost = (reward(trial.found.delta, trial.found.p_better), cost(&spend, &self.caps));
        let is_kept = trial.is_kept();
        if let (true, Some(candidate), Some(bpb)) = (is_kept, judged.candidate, trial.found.bpb) {
            self.crown(Champion { trial: number, candidate, description: trial.description.clone() }, bpb);
        }
        let line = TrialLine { trial, elapsed_s: self.started.elapsed().as_secs_f64(), repairs, spend };
        (self.tell)(Event::Trial(Box::new(line.clone())));
        let standing = self.standing();
        (self.tell)(Event::Standing(standing));
        self.publish(is_kept);
        self.let_go_of_weights();
        Ok(Decided { line, reward_and_cost })
    }

    fn trial(&self, draft: &Draft, number: u64, found: Findings, wall: Duration) -> Result<Trial, NightError> {
        let proposal = &draft.proposal;
        Ok(Trial {
            number,
            unix_ms: unix_ms(),
            proposer: sanitize::cut(&draft.author, AUTHOR_CHARS, "…"),
            parent: draft.parent,
            champion: self.champion.trial,
            proposal: draft.id,
            source_blob: self.bench.store.put_blob(proposal.source.as_bytes())?,
            hypothesis: sanitize::cut(&proposal.hypothesis, TEXT_CHARS, "…"),
            description: sanitize::cut(&proposal.description, TEXT_CHARS, "…"),
            operator: sanitize::cut(&proposal.operator, AUTHOR_CHARS, "…"),
            found,
            credit: proposal.credit.clone(),
            wall_ms: wall.as_millis() as i64,
        })
    }
}
