//! The course of a night: begin, read earlier trials, give turns, try mutations, end.

use crate::experiment::bench::Bench;
use crate::experiment::judge::Noise;
use crate::experiment::prepare::Candidate;
use crate::night::bounds::Bounds;
use crate::night::clerk::Clerk;
use crate::night::error::NightError;
use crate::night::event::{Baseline, Event, Summary};
use crate::night::memory::Memory;
use crate::night::now;
use crate::night::progress::Waiting;
use crate::night::recorded::Again;
use crate::night::report::tally::Tally;
use crate::night::rest::{Rest, SHORT_PATIENCE};
use crate::night::stop::Stop;
use crate::night::trial::baseline;
use crate::night::trial::champion::Champion;
use crate::night::trial::contest::Depth;
use crate::night::trial::rung::{self, Rung};
use crate::night::trial::seeds::first_seed;
use crate::night::turns::bandit::{self, Bandit};
use crate::night::turns::digest;
use crate::night::turns::roster::{self, Roster, Terms};
use crate::night::turns::turn::Draft;
use crate::policy::Policy;
use crate::propose::proposer::{Parent, Proposer, Situation, Underway};
use crate::record::facts::loss_curve;
use crate::record::hint::Hint;
use crate::record::key::ContextKey;
use crate::record::spend::Caps;
use crate::record::store::{AnswerOutcome, NewAnswer, NightRecord, NightSign};
use crate::system::clock::{DAY_MS, unix_ms};
use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A night that waits for a proposer checks its bounds at this interval.
const TICK: Duration = Duration::from_millis(100);
/// A wait for a proposal that is longer than this is reported to the user.
const LONG_WAIT: Duration = Duration::from_secs(20);
/// Milliseconds within which a stopped night continues if its policy is run again.
pub(super) const SAME_NIGHT_MS: i64 = DAY_MS;

/// The task of a night.
pub struct Plan<'a> {
    pub policy: &'a Policy,
    /// Name of the policy, for the record.
    pub policy_name: &'a str,
    /// The instructions for proposers.
    pub brief: &'a str,
    /// The guest that the night starts from.
    pub seed_guest: Candidate,
    /// Bounds for this process. They replace the policy's bounds, which hold for the whole night.
    pub bounds: Bounds,
    /// How long the night waits for a machine that fails, before it ends.
    pub patience: Duration,
    /// The recorded night whose proposals run again. The new night starts with the trials that the recorded one started
    /// with.
    pub recorded: Option<Again>,
    /// Answers submissions. Without it, they are not tried.
    pub clerk: Option<Clerk>,
    /// A night of the store to open, whatever its age. Otherwise the night on these terms is joined or begun.
    pub night: Option<NightRecord>,
}

impl<'a> Plan<'a> {
    /// To try a text that somebody outside the night wrote, on this policy's terms: no bounds, no proposers, and
    /// somebody who waits.
    pub fn for_one(policy: &'a Policy, policy_name: &'a str, brief: &'a str, seed_guest: Candidate) -> Self {
        Self {
            policy,
            policy_name,
            brief,
            seed_guest,
            bounds: Bounds::default(),
            patience: SHORT_PATIENCE,
            recorded: None,
            clerk: None,
            night: None,
        }
    }
}

pub struct Night<'a> {
    pub(super) bench: &'a Bench,
    pub(super) policy: &'a Policy,
    /// Bounds of this process.
    pub(super) bounds: Bounds,
    /// Bounds of the whole night, across all its processes.
    whole: Bounds,
    /// The proposers have nothing left to propose.
    exhausted: bool,
    pub(super) caps: Caps,
    brief: Arc<str>,
    pub(super) stop: &'a Stop,
    pub(super) tell: Box<dyn FnMut(Event) + 'a>,
    pub(super) id: i64,
    pub(super) context: ContextKey,
    pub(super) started: Instant,
    pub(super) baseline: Champion,
    pub(super) baseline_figures: Baseline,
    pub(super) champion: Champion,
    pub(super) champion_bpb: f64,
    /// What proposers change, with its score: the champion, or the last one before it that is a source.
    pub(super) parent: (Champion, f64),
    pub(super) noise: Noise,
    /// Shorter runs that candidates pass first.
    pub(super) rungs: Vec<Rung>,
    pub(super) memory: Memory,
    /// Number of remembered trials that are not on this night's terms, with the baseline.
    pub(super) before: usize,
    /// Number of remembered trials among which the champion was looked for.
    pub(super) followed: usize,
    /// Proposals that an earlier process left, or that the machine did not let be tried.
    pub(super) pending: VecDeque<Draft>,
    pub(super) rest: Rest,
    /// Whether the last mutation of the night's own proposers was set aside as a host fault.
    pub(super) has_set_aside: bool,
    pub(super) clerk: Option<Clerk>,
    /// Seen by others as long as this night takes submissions.
    pub(super) sign: Option<NightSign>,
    /// What other labs tried on these terms without gain, as they say.
    hints: Arc<[Hint]>,
    digest: Arc<str>,
    digested: u64,
    pub(super) tally: Tally,
}

impl<'a> Night<'a> {
    /// Measures the baseline or finds it in the store, reads the earlier trials on the same terms, and records that the
    /// night begins or continues.
    pub fn begin(
        bench: &'a Bench,
        plan: Plan<'a>,
        stop: &'a Stop,
        tell: &'a mut dyn FnMut(Event),
    ) -> Result<Self, NightError> {
        let Plan { policy, policy_name, brief, seed_guest, bounds, patience, recorded, clerk, night } = plan;
        let text = policy.canonical()?;
        let terms = bench.context_key(&seed_guest.component);
        if let Some(night) = night.as_ref().filter(|night| night.context != terms) {
            return Err(NightError::OtherTerms(night.id));
        }
        if night.is_none() && !bench.is_open()? {
            return Err(NightError::Closed);
        }
        let started = Instant::now();
        let known = Rc::new(Cell::new(None));
        let mut now = now::Writer::new(bench.store.dir(), known.clone());
        let mut tell: Box<dyn FnMut(Event) + 'a> = Box::new(move |event| {
            now.hear(&event);
            tell(event);
        });
        let baseline = Champion { trial: 0, candidate: seed_guest, description: "baseline".into() };
        let mut rest = Rest::new(patience);
        let (scores, runs) = baseline::measure(bench, policy, &baseline, &mut rest, stop, &mut *tell)?;
        let (baseline_figures, noise) = baseline::figures(bench, &scores);
        let (rungs, shorter) = rung::open(bench, policy, &baseline, &mut rest, stop, &mut *tell)?;
        tell(Event::Baseline(baseline_figures.clone()));
        let now = unix_ms();
        // Repeated proposals get a context of their own. Otherwise they would count as repeats of themselves.
        let again = |again: Again| ContextKey::of(format!("{terms} {} {now}", again.night).as_bytes());
        let context = recorded.map_or(terms, again);
        let id = match &night {
            Some(night) => night.id,
            None => {
                bench.store.join_night(policy_name, &text, &bench.task.hash(), &context, now, now - SAME_NIGHT_MS)?
            }
        };
        bench.store.set_baseline(id, &baseline.candidate.component.key())?;
        known.set(Some(id));
        let whole = match recorded {
            _ if night.is_some() => Bounds::default(),
            Some(_) => bounds,
            None => Bounds::rest_of(&policy.search, &bench.store.night_used(id)?),
        };
        let first = bench.run_before(&bench.manifest(&baseline.candidate.component, first_seed(policy)))?;
        let losses = first.map(|run| loss_curve(&run.outcome.curve)).unwrap_or_default();
        let (digested, digest) = bench.store.latest_digest(&context)?.unwrap_or_default();
        let mut night = Self {
            bench,
            policy,
            bounds: bounds.or(whole),
            whole,
            exhausted: false,
            caps: policy.caps.in_whole_numbers(),
            brief: brief.into(),
            stop,
            tell,
            id,
            context,
            started,
            memory: Memory::new(&baseline, baseline_figures.bpb, losses, noise),
            champion: baseline.clone(),
            champion_bpb: baseline_figures.bpb,
            parent: (baseline.clone(), baseline_figures.bpb),
            baseline,
            baseline_figures,
            noise,
            before: 1,
            followed: 1,
            pending: VecDeque::new(),
            rest,
            has_set_aside: false,
            clerk,
            sign: None,
            hints: bench.store.hints(&context)?.into(),
            digest: digest.into(),
            digested,
            rungs,
            tally: Tally { runs: runs + shorter, ..Tally::default() },
        };
        if let Some(again) = recorded {
            night.take_up_before(&terms, again)?;
        }
        night.patiently(Self::take_up)?;
        night.tell_what_was_taken_up();
        night.publish_what_is_missing();
        night.answer_what_is_left()?;
        Ok(night)
    }

    /// Works until nothing of the machine fails, or until there should be no further try. `work` must be able to begin
    /// again.
    pub(super) fn patiently<T>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<T, NightError>,
    ) -> Result<T, NightError> {
        loop {
            let worked = work(self);
            if let Some(worked) = self.rest.heed(worked, self.stop, &mut *self.tell) {
                return worked;
            }
        }
    }

    /// Records that a proposer of the policy cannot work in this night, and why.
    pub fn leave_out(&self, proposer: &str, reason: &str) -> Result<(), NightError> {
        let answer = NewAnswer {
            first: None,
            unix_ms: unix_ms(),
            proposer,
            parent: self.parent.0.trial,
            outcome: AnswerOutcome::Stopped,
            stage: None,
            fault: reason,
            text: None,
            hypothesis: "",
            description: "",
            operator: "",
            sent: None,
            wall_ms: 0,
        };
        self.bench.store.add_answer(self.id, &answer, &[])?;
        Ok(())
    }

    /// Tries proposals until a bound is reached or the proposers have nothing left, then ends the night.
    pub fn run(mut self, proposers: Vec<Box<dyn Proposer>>) -> Result<Summary, NightError> {
        if proposers.iter().any(|proposer| !proposer.is_free()) {
            let names: Vec<&str> = proposers.iter().map(|proposer| proposer.name()).collect();
            let spent = self.bench.store.spent(self.id)?;
            let text = format!("{}; caps: {}", names.join(", "), self.caps.words(&spent));
            (self.tell)(Event::Setup { what: "proposers", text });
        }
        let mut bandit = Bandit::default();
        for turn in self.bench.store.decided_turns(&self.context)? {
            let reward = bandit::reward(turn.delta, turn.p_better);
            bandit.observe(&turn.proposer, reward, bandit::cost(&turn.spend, &self.caps));
        }
        let cancelled = AtomicBool::new(false);
        let terms =
            Terms { night: self.id, caps: self.caps, repairs: self.policy.search.repairs, cancelled: &cancelled };
        std::thread::scope(|scope| {
            let worked = Roster::open(scope, self.bench, proposers, bandit, &terms).and_then(|mut roster| {
                self.take_up_pending(&mut roster)?;
                self.work(&mut roster)
            });
            // The scope waits for the threads. Proposals that they still write are discarded.
            cancelled.store(true, Ordering::Relaxed);
            worked
        })?;
        self.end()
    }

    fn work(&mut self, roster: &mut Roster) -> Result<(), NightError> {
        loop {
            match self.step(roster) {
                Ok(ControlFlow::Continue(())) => self.rest.end(),
                Ok(ControlFlow::Break(())) => return self.try_what_is_paid(roster),
                Err(fault) if fault.is_of_the_machine() && self.rest.wait(&fault, self.stop, &mut *self.tell) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Tries the next mutation. Breaks if the night is over.
    fn step(&mut self, roster: &mut Roster) -> Result<ControlFlow<()>, NightError> {
        let Some(draft) = self.next_draft(roster)? else { return Ok(ControlFlow::Break(())) };
        if let Err(error) = self.hand_out(roster, Some(&draft)) {
            self.pending.push_front(draft);
            return Err(error);
        }
        let decided = self.try_patiently(&draft, Depth::Judge)?;
        let is_decided = decided.is_some();
        roster.decided(decided.map(|decided| decided.reward_and_cost));
        if is_decided {
            self.recheck_now_and_then()?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// At the end of the night's time, tries the answers that are there and were paid for. A bound on experiments holds
    /// for them too: the next night tries what is left.
    fn try_what_is_paid(&mut self, roster: &mut Roster) -> Result<(), NightError> {
        self.listen(roster, Duration::ZERO)?;
        while !self.stop.soon()
            && self.room() != Some(0)
            && let Some(draft) = roster.take_paid()
        {
            let decided = self.try_patiently(&draft, Depth::Judge)?;
            roster.decided(decided.map(|decided| decided.reward_and_cost));
        }
        Ok(())
    }

    /// How many mutations this process may still train; `None` if that is not bounded.
    fn room(&self) -> Option<u64> {
        self.bounds.experiments.map(|bound| bound.saturating_sub(self.tally.trained))
    }

    /// Waits for the next mutation to try. Returns `None` if the night is over.
    fn next_draft(&mut self, roster: &mut Roster) -> Result<Option<Draft>, NightError> {
        let since = Instant::now();
        let (mut proposal, mut rest) = (Waiting::new(since + LONG_WAIT), Waiting::new(since));
        while !self.over() {
            self.listen(roster, Duration::ZERO)?;
            if let Some(draft) = self.pending.pop_front().or_else(|| roster.take(self.parent.0.trial, self.room())) {
                return Ok(Some(draft));
            }
            for stale in roster.take_stale() {
                stale.id.map_or(Ok(()), |id| self.bench.store.withdraw(id))?;
            }
            self.hand_out(roster, None)?;
            if roster.is_at_work() {
                if proposal.is_news(Instant::now()) {
                    let (who, seconds) = (roster.at_work().join(", "), since.elapsed().as_secs());
                    let text = format!("nothing is ready to train: waiting for {who}, {seconds} s so far");
                    (self.tell)(Event::Note { text });
                }
                self.listen(roster, TICK)?;
                continue;
            }
            let Some((wakes, who)) = roster.next_to_wake(self.parent.0.trial) else {
                self.exhausted = roster.is_exhausted();
                let text = match self.exhausted {
                    true => "nobody has anything left to propose: the night ends here",
                    false => "nobody can propose any more: the night stops here, and the same policy goes on with it",
                };
                (self.tell)(Event::Note { text: text.into() });
                return Ok(None);
            };
            if rest.is_news(Instant::now()) {
                let seconds = wakes.saturating_duration_since(Instant::now()).as_secs() + 1;
                (self.tell)(Event::Note { text: format!("waiting for {who}, {seconds} s") });
            }
            std::thread::sleep(TICK);
        }
        Ok(None)
    }

    /// Takes all reports that are there. If there are none, it waits up to `patience` for the first one.
    fn listen(&mut self, roster: &mut Roster, patience: Duration) -> Result<(), NightError> {
        let mut patience = patience;
        while let Some(news) = roster.wait(patience, self.parent.0.trial) {
            patience = Duration::ZERO;
            if let Some(spend) = news.lost {
                roster.lost(&news.proposer, bandit::cost(&spend, &self.caps));
            }
            news.notes.into_iter().for_each(|text| (self.tell)(Event::Note { text }));
            if let Some(digest) = news.digest {
                let (author, text) = match digest {
                    Some(text) => (news.proposer, text),
                    None => (digest::AUTHOR.to_string(), digest::plain(&self.memory.past)),
                };
                self.keep_digest(&author, text)?;
            }
        }
        Ok(())
    }

    /// Gives turns while `in_training` trains. If a digest is due, one proposer writes it; without such a proposer, the
    /// host does.
    fn hand_out(&mut self, roster: &mut Roster, in_training: Option<&Draft>) -> Result<(), NightError> {
        let mut situation = self.situation();
        situation.number += u64::from(in_training.is_some());
        situation.underway = in_training.map(roster::underway).into_iter().chain(roster.ready()).collect();
        let after = self.memory.next_number() - 1;
        let is_due = after >= self.digested + self.policy.search.digest_every;
        let room = self.room().map(|room| room.saturating_sub(u64::from(in_training.is_some())));
        if roster.hand_out(&situation, is_due, room) {
            self.digested = after;
        } else if is_due && !roster.has_writers() {
            self.keep_digest(digest::AUTHOR, digest::plain(&self.memory.past))?;
        }
        Ok(())
    }

    fn keep_digest(&mut self, author: &str, text: String) -> Result<(), NightError> {
        let after = self.memory.next_number() - 1;
        self.bench.store.add_digest(&self.context, after, unix_ms(), author, &text)?;
        self.digested = after;
        self.digest = text.into();
        Ok(())
    }

    /// What a proposer may know at this moment.
    pub fn situation(&self) -> Situation {
        let (parent, bpb) = &self.parent;
        Situation {
            brief: self.brief.clone(),
            task: self.bench.task.hash(),
            context: self.context,
            hints: self.hints.clone(),
            parent: Arc::new(Parent {
                number: parent.trial,
                source: parent.candidate.text.clone(),
                description: parent.description.clone(),
                bpb: *bpb,
                facts: self.bench.facts(&parent.candidate),
            }),
            past: self.memory.past.clone(),
            underway: Vec::<Underway>::new(),
            noise: self.noise.sd(),
            budget_seconds: self.policy.budget.seconds,
            digest: self.digest.clone(),
            number: self.memory.next_number(),
            random_seed: self.policy.search.random_seed,
        }
    }

    /// Makes it the champion.
    pub(super) fn crown(&mut self, champion: Champion, bpb: f64) {
        if champion.is_source() {
            self.parent = (champion.clone(), bpb);
        }
        (self.champion, self.champion_bpb) = (champion, bpb);
    }

    /// Whether this process must stop the night.
    fn over(&self) -> bool {
        self.stop.soon() || self.bounds.are_reached(self.tally.trained, self.hours())
    }

    /// Whether the whole night is complete, so that no process needs to continue it.
    pub(super) fn is_whole(&self) -> bool {
        self.exhausted || self.whole.are_reached(self.tally.trained, self.hours())
    }

    pub(super) fn hours(&self) -> f64 {
        self.started.elapsed().as_secs_f64() / 3600.0
    }
}
