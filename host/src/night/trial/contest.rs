//! Judges a mutation against the champion, from its text to a verdict: both meet on one random seed after the other, as
//! long as the result is open, and last on the confirm split. May import `experiment`, not `propose`.

use crate::data::Split;
use crate::experiment::batch::Run;
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::judge::{Evidence, Experience, Next, Noise, Pair, Posterior, Prior, Selection, gain_between};
use crate::experiment::prepare::{Candidate, Refusal, Step};
use crate::experiment::runner::Experiment;
use crate::guest::source::Change;
use crate::night::event::Event;
use crate::night::stop::Stop;
use crate::night::trial::champion::Champion;
use crate::night::trial::rung::Rung;
use crate::night::trial::runs::{Runs, told};
use crate::night::trial::seen::{RepeatKey, Seen};
use crate::record::ending::Ending;
use crate::record::key::{ExperimentKey, SourceKey};
use crate::record::outcome::{HostFault, Score, Status};
use crate::record::store::Role;
use crate::record::trial::{ChangeKind, Findings};
use std::ops::ControlFlow;

/// A mutation that was judged.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The findings of the trial.
    pub found: Findings,
    /// All recorded runs behind the verdict, including the champion's, with their roles.
    pub runs: Vec<(ExperimentKey, Role)>,
    /// Number of runs that were trained for this trial, not found in the store.
    pub trained: u64,
    /// If the mutation repeats an earlier trial: the kind of key that matched, and that trial.
    pub repeats: Option<(RepeatKey, u64)>,
    /// The candidate, if it passed the dry run.
    pub candidate: Option<Candidate>,
}

impl Judgement {
    fn new() -> Self {
        Self { found: Findings::new(Ending::Refused), runs: Vec::new(), trained: 0, repeats: None, candidate: None }
    }

    /// Adds a run to the trial. Its experiment is the first one at the night's budget.
    fn note(&mut self, run: &Run, role: Role) {
        self.trained += u64::from(run.wall.is_some());
        if run.record.is_some() {
            self.runs.push((run.key, role));
            if role != Role::Rung {
                self.found.experiment.get_or_insert(run.key);
            }
        }
    }

    fn end(&mut self, ending: Ending, reason: impl Into<String>) {
        self.found.verdict = ending;
        self.found.reason = reason.into();
    }

    fn repeat(&mut self, key: RepeatKey, trial: u64) {
        let of = if trial == 0 { "the baseline".into() } else { format!("#{trial}") };
        let what = match key {
            RepeatKey::Source => "the same source",
            RepeatKey::Component => "compiles to the same",
            RepeatKey::Behaviour => "asks for the same operations",
        };
        self.end(Ending::Same, format!("{what} as {of} ({})", key.name()));
        self.repeats = Some((key, trial));
    }

    fn missing_run(&mut self) -> Meeting {
        self.end(Ending::HostFault, "a planned run did not start");
        Meeting::NoCandidate
    }

    /// A rule of the policy refuses it. Another policy may allow it, so it leaves no key for later trials.
    fn break_rule(&mut self, ending: Ending, reason: String) {
        (self.found.source_key, self.found.component_key, self.found.behaviour_key) = (None, None, None);
        self.forget_figures();
        self.end(ending, reason);
    }

    /// A mutation that fails on a later random seed has gained nothing on the earlier ones.
    fn forget_figures(&mut self) {
        let found = &mut self.found;
        (found.bpb, found.delta, found.p_better, found.pairs, found.spread) = (None, None, None, None, None);
    }

    /// The candidate has no score.
    fn fail(&mut self, status: &Status) {
        self.forget_figures();
        match status {
            Status::HostFault { kind: HostFault::Interrupted, .. } => self.end(Ending::HostFault, "interrupted"),
            Status::HostFault { .. } => self.end(Ending::HostFault, status.to_string()),
            Status::GuestFault { .. } => self.end(Ending::Failed, status.to_string()),
            Status::Completed => {
                self.end(Ending::HostFault, "completed without a score: the store may be damaged");
            }
        }
    }
}

/// How far a mutation is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// On one random seed, without a verdict.
    Screen,
    Judge,
}

/// What a mutation is judged against, and the rule of the judgement.
pub struct Contest<'a> {
    pub bench: &'a Bench,
    pub champion: &'a Champion,
    pub noise: Noise,
    pub rule: &'a Selection,
    pub experience: &'a Experience,
    /// By what kind of change the mutation was written.
    pub operator: &'a str,
    /// The keys of earlier trials.
    pub seen: &'a Seen,
    /// The night's random seeds, which all trials share. The rule says how many are used.
    pub seeds: &'a [u64],
    /// Shorter runs that the mutation passes first, shortest first.
    pub rungs: &'a [Rung],
    pub depth: Depth,
    /// Set by Ctrl-C.
    pub stop: &'a Stop,
}

impl Contest<'_> {
    /// Checks the three keys of a mutation and trains it as far as its results justify. Returns `None` if the user
    /// stopped it; then there is nothing to record.
    pub fn judge(&self, text: &str, tell: &mut dyn FnMut(Event)) -> Result<Option<Judgement>, BenchError> {
        let mut judged = Judgement::new();
        match self.bench.prepare_while(text, &|| self.stop.now(), |step| self.admit(step, &mut judged.found)) {
            Ok(ControlFlow::Continue(candidate)) => {
                judged.candidate = Some(candidate.clone());
                self.try_candidate(&candidate, &mut judged, tell)?;
            }
            Ok(ControlFlow::Break((key, trial))) => judged.repeat(key, trial),
            Err(Refusal::Bench(error)) => return Err(error),
            Err(refusal) if refusal.stage().is_none() => judged.end(Ending::HostFault, refusal.to_string()),
            Err(Refusal::Rule(reason)) => judged.break_rule(Ending::Refused, reason),
            Err(refusal) => judged.end(Ending::Refused, refusal.to_string()),
        }
        let is_stopped = judged.found.verdict == Ending::HostFault && self.stop.now();
        Ok((!is_stopped).then_some(judged))
    }

    /// The verdict on a mutation that the earlier checks refused. It counts as a repeat if its source was tried before.
    pub fn refuse(&self, source: Option<SourceKey>, reason: &str) -> Judgement {
        let mut judged = Judgement::new();
        judged.found.source_key = source;
        match source.and_then(|key| self.seen.source(&key)) {
            Some(trial) => judged.repeat(RepeatKey::Source, trial),
            None => judged.end(Ending::Refused, reason),
        }
        judged
    }

    /// Records the key that a step found. Breaks with the kind of key and the earlier trial if a trial had this key
    /// before.
    fn admit(&self, step: Step, found: &mut Findings) -> ControlFlow<(RepeatKey, u64)> {
        let (key, before) = match step {
            Step::Parsed(key) => {
                found.source_key = Some(key);
                let screened = if self.depth == Depth::Screen { self.seen.screened(&key) } else { None };
                (RepeatKey::Source, self.seen.source(&key).or(screened))
            }
            Step::Compiled(key) => {
                found.component_key = Some(key);
                (RepeatKey::Component, self.seen.component(&key))
            }
            Step::RanDry(candidate) => {
                found.peak_bytes = Some(candidate.dry_run.train.peak_bytes);
                (found.data_bytes, found.trained_share) = (Some(candidate.carried.bytes()), candidate.trained_share);
                found.behaviour_key = candidate.behaviour;
                (RepeatKey::Behaviour, candidate.behaviour.and_then(|key| self.seen.behaviour(&key)))
            }
        };
        before.map_or(ControlFlow::Continue(()), |trial| ControlFlow::Break((key, trial)))
    }

    /// Lets candidate and champion meet on one random seed after the other. Seeds on which the champion fails are left
    /// out.
    fn try_candidate(
        &self,
        candidate: &Candidate,
        judged: &mut Judgement,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), BenchError> {
        let change = Change::between(&self.champion.candidate.text, &candidate.text);
        let change = change.unwrap_or(Change { kind: ChangeKind::Structure, is_shorter: false });
        let prior = self.experience.prior(self.operator, change.kind);
        judged.found.change = Some(change.kind);
        judged.found.prior = Some(prior.gains);
        // A screening says something of the night's budget, so it drops nothing on the way there.
        for rung in self.rungs.iter().filter(|_| self.depth == Depth::Judge) {
            if !self.passes(rung, candidate, &prior, change, judged, tell)? {
                return Ok(());
            }
        }
        let seeds = match self.depth {
            Depth::Screen => self.first_seed(),
            Depth::Judge => self.seeds,
        };
        let mut runs =
            self.runs(self.bench, candidate, seeds, &|number| format!("random seed {number}")).first_alone(2);
        let (mut met, mut failed, mut role) = (Vec::new(), None, Role::Search);
        for _ in seeds {
            let meeting = next_pair(&mut runs, role, judged, tell)?;
            role = Role::FreshSeed;
            match meeting {
                Meeting::Scored(pair) => met.push(*pair),
                Meeting::NoChampion(status) => {
                    failed = Some(status);
                    continue;
                }
                Meeting::NoCandidate => return Ok(()),
            }
            if !self.is_open(candidate, &met, &prior, change, judged, tell)? {
                return Ok(());
            }
        }
        let ending = if self.depth == Depth::Screen { Ending::Screened } else { Ending::Noise };
        judged.end(ending, not_proven(&met, failed.as_ref()));
        Ok(())
    }

    fn first_seed(&self) -> &[u64] {
        &self.seeds[..self.seeds.len().min(1)]
    }

    /// What is known after these pairs, and the least gain that matters.
    fn posterior(&self, noise: &Noise, prior: &Prior, pairs: &[Pair]) -> Result<(Posterior, f64), BenchError> {
        let least = self.rule.least_gain * noise.sd();
        Ok((Posterior::new(Evidence::measure(pairs)?, prior, noise, least), least))
    }

    /// Decides after the pairs so far. Returns whether one more random seed is needed.
    fn is_open(
        &self,
        candidate: &Candidate,
        met: &[Scored],
        prior: &Prior,
        change: Change,
        judged: &mut Judgement,
        tell: &mut dyn FnMut(Event),
    ) -> Result<bool, BenchError> {
        if let Some(last) = met.last()
            && let Err(status) = self.bench.trained_enough(&last.candidate.run.outcome, &mut judged.found)
        {
            judged.break_rule(Ending::Failed, status.to_string());
            return Ok(false);
        }
        let pairs: Vec<Pair> = met.iter().map(Scored::scores).collect();
        let (posterior, least) = self.posterior(&self.noise, prior, &pairs)?;
        posterior.write(&mut judged.found);
        let next = self.rule.next(&posterior, change.is_shorter);
        if self.depth == Depth::Screen {
            judged.end(Ending::Screened, screening(next, least));
            return Ok(false);
        }
        match next {
            Next::Seed => {
                tell(Event::Seed {
                    seeds: posterior.evidence.pairs,
                    most: self.rule.most_seeds,
                    delta: -posterior.evidence.mean,
                    p_better: posterior.p_better,
                });
                return Ok(true);
            }
            Next::Better | Next::Shorter => self.confirm(candidate, met, &posterior, next, judged, tell)?,
            Next::Worse => judged.end(Ending::Discard, format!("worse on {}", counted(met))),
            Next::NoGain => judged.end(Ending::Noise, format!("{} after {}", no_gain(least), counted(met))),
            Next::NotProven => judged.end(Ending::Noise, not_proven(met, None)),
        }
        Ok(false)
    }

    /// Whether a candidate passes a rung: it trains there on the first random seed, and a gain is not improbable. A
    /// failure there, of the champion or the candidate, drops nobody.
    fn passes(
        &self,
        rung: &Rung,
        candidate: &Candidate,
        prior: &Prior,
        change: Change,
        judged: &mut Judgement,
        tell: &mut dyn FnMut(Event),
    ) -> Result<bool, BenchError> {
        let named = |number| format!("{} s, random seed {number}", rung.seconds);
        let mut runs = self.runs(&rung.bench, candidate, self.first_seed(), &named);
        let pair = match next_pair(&mut runs, Role::Rung, judged, tell)? {
            Meeting::Scored(pair) => pair,
            Meeting::NoChampion(_) => return Ok(true),
            // What fails in a short run, as by learning too little, is judged by the whole one.
            Meeting::NoCandidate => return Ok(judged.found.verdict == Ending::Failed),
        };
        let (posterior, least) = self.posterior(&rung.noise, prior, &[pair.scores()])?;
        let at = format!("at {} s: {:+.4}", rung.seconds, -posterior.evidence.mean);
        match self.rule.next(&posterior, change.is_shorter) {
            Next::Worse => judged.end(Ending::Discard, format!("worse {at}")),
            Next::NoGain => judged.end(Ending::Noise, format!("{} {at}", no_gain(least))),
            Next::Seed | Next::Better | Next::Shorter | Next::NotProven => return Ok(true),
        }
        Ok(false)
    }

    /// Compares candidate and champion on the confirm split, which no selection has used. Both are models of the first
    /// seed on which they met. What chance did to this pair of models shows on the search split too, so the change from
    /// there to here is added to the gain over all seeds.
    fn confirm(
        &self,
        candidate: &Candidate,
        met: &[Scored],
        posterior: &Posterior,
        next: Next,
        judged: &mut Judgement,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), BenchError> {
        let Some(first) = met.first() else { return Ok(()) };
        let evidence = &posterior.evidence;
        let text = format!(
            "     … {:+.4} on {}, P(better) {:.3}: scored on the confirm split",
            -evidence.mean,
            counted(met),
            posterior.p_better
        );
        tell(Event::Note { text });
        let stop = &|| self.stop.now();
        let runs: Vec<_> = met.iter().flat_map(|met| [met.candidate.run.key, met.champion.run.key]).collect();
        if !self.bench.settle(&runs, &mut told(tell), stop)? {
            judged.end(Ending::HostFault, "a run that it rests on has yet to be made again, or was false");
            return Ok(());
        }
        let champion = &self.champion.candidate.component;
        let theirs = match self.bench.known_score(champion, &first.champion.run, Split::Confirm, "keep", stop)? {
            Ok(score) => score,
            Err(status) => {
                judged.end(Ending::Noise, not_proven(met, Some(&status)));
                return Ok(());
            }
        };
        let ours =
            match self.bench.probed_score(&candidate.component, &first.candidate.run, Split::Confirm, "keep", stop)? {
                Ok(score) => score,
                Err(status) => {
                    judged.fail(&status);
                    return Ok(());
                }
            };
        let here = gain_between(Pair { champion: &theirs, candidate: &ours })?;
        let there = gain_between(first.scores())?;
        let gain = evidence.mean + here - there;
        let (needed, kept) = match next {
            Next::Shorter => (-self.rule.least_gain * self.noise.sd(), "as good and shorter"),
            _ => (0.0, "better"),
        };
        if gain > needed {
            judged.end(Ending::Keep, format!("{kept} on {}, confirmed {:+.4}", counted(met), -gain));
        } else {
            judged.end(Ending::Noise, format!("{kept} on {}, but not on the confirm split", counted(met)));
        }
        Ok(())
    }

    /// Plans the runs: for each random seed the candidate, then the champion, each with its role.
    fn runs<'a>(
        &'a self,
        bench: &'a Bench,
        candidate: &'a Candidate,
        seeds: &'a [u64],
        named: &dyn Fn(usize) -> String,
    ) -> Runs<'a> {
        let of = |candidate: &'a Candidate, random_seed| Experiment { component: &candidate.component, random_seed };
        let plan = seeds.iter().enumerate().flat_map(move |(index, &seed)| {
            let role = named(index + 1);
            let theirs = format!("champion, {role}");
            [(role, of(candidate, seed)), (theirs, of(&self.champion.candidate, seed))]
        });
        Runs::new(bench, self.stop, plan)
    }
}

fn no_gain(least: f64) -> String {
    format!("a gain of {least:.4} is improbable")
}

/// What a screening says.
fn screening(next: Next, least: f64) -> String {
    match next {
        Next::Worse => "worse on 1 random seed".into(),
        Next::NoGain => no_gain(least),
        Next::Seed | Next::Better | Next::Shorter | Next::NotProven => {
            "the result is open: try it to have it judged".into()
        }
    }
}

/// Why a candidate with a score is neither kept nor dropped.
fn not_proven(met: &[Scored], failed: Option<&Status>) -> String {
    let on = if met.is_empty() { String::new() } else { format!(" on {}", counted(met)) };
    let but = failed.map(|status| format!(": the champion failed ({status})")).unwrap_or_default();
    format!("not proven{on}{but}")
}

/// Runs of candidate and champion on one random seed.
struct Scored {
    candidate: Contender,
    champion: Contender,
}

struct Contender {
    run: Run,
    score: Score,
}

impl Contender {
    /// Accepts only a run with a score.
    fn of(run: Run) -> Result<Self, Status> {
        match (&run.outcome.status, &run.outcome.score) {
            (Status::Completed, Some(score)) => Ok(Self { score: score.clone(), run }),
            (status, _) => Err(status.clone()),
        }
    }
}

impl Scored {
    fn scores(&self) -> Pair<'_> {
        Pair { champion: &self.champion.score, candidate: &self.candidate.score }
    }
}

/// The number of random seeds, in words.
fn counted(met: &[Scored]) -> String {
    match met.len() {
        1 => "1 random seed".into(),
        n => format!("{n} random seeds"),
    }
}

/// How candidate and champion met on one random seed.
enum Meeting {
    Scored(Box<Scored>),
    /// The champion failed, by itself: this says nothing about the candidate.
    NoChampion(Status),
    /// The candidate failed, or the host. It is recorded in the judgement.
    NoCandidate,
}

fn next_pair(
    runs: &mut Runs,
    role: Role,
    judged: &mut Judgement,
    tell: &mut dyn FnMut(Event),
) -> Result<Meeting, BenchError> {
    let Some(run) = runs.next(tell)? else { return Ok(judged.missing_run()) };
    judged.note(&run, role);
    let candidate = match Contender::of(run) {
        Ok(candidate) => candidate,
        Err(status) => {
            judged.fail(&status);
            return Ok(Meeting::NoCandidate);
        }
    };
    let Some(run) = runs.next(tell)? else { return Ok(judged.missing_run()) };
    judged.note(&run, role);
    Ok(match Contender::of(run) {
        Ok(champion) => Meeting::Scored(Box::new(Scored { candidate, champion })),
        Err(status @ Status::GuestFault { .. }) => Meeting::NoChampion(status),
        Err(status) => {
            judged.fail(&status);
            Meeting::NoCandidate
        }
    })
}
