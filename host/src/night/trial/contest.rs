//! Judges a mutation against the champion, from its text to a verdict: first a screening run on one random seed, then
//! runs of both on fresh random seeds, last the confirm split. May import `experiment`, not `propose`.

use crate::data::Split;
use crate::experiment::batch::Run;
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::judge::{self, Noise, Pair, Selection, Verdict};
use crate::experiment::prepare::{Candidate, Refusal, Step};
use crate::experiment::runner::Experiment;
use crate::night::event::Event;
use crate::night::stop::Stop;
use crate::night::trial::champion::Champion;
use crate::night::trial::runs::Runs;
use crate::night::trial::seen::{RepeatKey, Seen};
use crate::record::ending::Ending;
use crate::record::key::{ExperimentKey, SourceKey};
use crate::record::outcome::{HostFault, Score, Status};
use crate::record::store::Role;
use crate::record::trial::Findings;
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

    /// Adds a run to the trial. The first run is the screening run.
    fn note(&mut self, run: &Run, role: Role) {
        self.trained += u64::from(run.wall.is_some());
        if run.record.is_some() {
            self.runs.push((run.key, role));
            self.found.experiment.get_or_insert(run.key);
        }
    }

    fn end(&mut self, ending: Ending, reason: impl Into<String>) {
        self.found.verdict = ending;
        self.found.reason = reason.into();
    }

    fn decide(&mut self, verdict: Verdict, reason: impl Into<String>) {
        let ending = match verdict {
            Verdict::Keep => Ending::Keep,
            Verdict::Discard => Ending::Discard,
            Verdict::Noise | Verdict::NeedsFreshSeeds | Verdict::NeedsConfirm => Ending::Noise,
        };
        self.end(ending, reason);
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

    /// The candidate has a score but the champion has none, so they cannot be compared.
    fn go_without_champion(&mut self, status: &Status) {
        match status {
            Status::GuestFault { .. } => self.end(Ending::Noise, format!("not proven: the champion failed ({status})")),
            status => self.fail(status),
        }
    }

    /// A rule of the policy refuses it. Another policy may allow it, so it leaves no key for later trials.
    fn break_rule(&mut self, ending: Ending, reason: String) {
        (self.found.source_key, self.found.component_key, self.found.behaviour_key) = (None, None, None);
        self.end(ending, reason);
    }

    /// The candidate has no score.
    fn fail(&mut self, status: &Status) {
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

/// What a mutation is judged against, and the rule of the judgement.
pub struct Contest<'a> {
    pub bench: &'a Bench,
    pub champion: &'a Champion,
    pub noise: Noise,
    pub rule: &'a Selection,
    /// The keys of earlier trials.
    pub seen: &'a Seen,
    /// Random seed of the screening runs.
    pub screening_seed: u64,
    /// Fresh random seeds of this trial; the rule sets their number.
    pub fresh_seeds: Vec<u64>,
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
                (RepeatKey::Source, self.seen.source(&key))
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

    fn try_candidate(
        &self,
        candidate: &Candidate,
        judged: &mut Judgement,
        tell: &mut dyn FnMut(Event),
    ) -> Result<(), BenchError> {
        let mut runs = self.pairs(candidate, [(self.screening_seed, "screening".to_string())]);
        let Some(first) = next_pair(&mut runs, Role::Search, judged, tell)? else { return Ok(()) };
        if let Err(status) = self.bench.trained_enough(&first.candidate.run.outcome, &mut judged.found) {
            judged.break_rule(Ending::Failed, status.to_string());
            return Ok(());
        }
        judged.found.bpb = Some(first.candidate.score.bpb);
        let screened = judge::screen(&self.noise, first.scores())?;
        judged.found.delta = Some(-screened.gain.mean);
        judged.decide(screened.verdict, "");
        if screened.verdict != Verdict::NeedsFreshSeeds {
            return Ok(());
        }
        let all = self.fresh_seeds.len();
        let role = |(i, &seed): (usize, &u64)| (seed, format!("fresh random seed {} of {all}", i + 1));
        let mut runs = self.pairs(candidate, self.fresh_seeds.iter().enumerate().map(role));
        let mut fresh = Vec::new();
        while let Some(pair) = next_pair(&mut runs, Role::FreshSeed, judged, tell)? {
            fresh.push(pair);
            let pairs: Vec<Pair> = fresh.iter().map(Scored::scores).collect();
            let decision = judge::decide(self.rule, &self.noise, &pairs, None)?;
            judged.found.delta = Some(-decision.gain.mean);
            judged.found.p_better = Some(decision.p_better);
            match decision.verdict {
                Verdict::NeedsFreshSeeds => {}
                Verdict::NeedsConfirm => return self.confirm(candidate, &fresh, judged),
                verdict => {
                    judged.decide(verdict, format!("did not hold on {}", counted(&fresh)));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Compares candidate and champion on the confirm split, which no selection has used.
    fn confirm(&self, candidate: &Candidate, fresh: &[Scored], judged: &mut Judgement) -> Result<(), BenchError> {
        let score = |candidate: &Candidate, run: &Run| {
            self.bench.score(&candidate.component, run, Split::Confirm, "keep", &|| self.stop.now())
        };
        let mut confirmed = Vec::new();
        for pair in fresh {
            let candidate = match score(candidate, &pair.candidate.run)? {
                Ok(score) => score,
                Err(status) => {
                    judged.fail(&status);
                    return Ok(());
                }
            };
            match score(&self.champion.candidate, &pair.champion.run)? {
                Ok(champion) => confirmed.push((champion, candidate)),
                Err(status) => {
                    judged.go_without_champion(&status);
                    return Ok(());
                }
            }
        }
        let pairs: Vec<Pair> = fresh.iter().map(Scored::scores).collect();
        let on_confirm: Vec<Pair> =
            confirmed.iter().map(|(champion, candidate)| Pair { champion, candidate }).collect();
        let decision = judge::decide(self.rule, &self.noise, &pairs, Some(&on_confirm))?;
        let reason = match decision.verdict {
            Verdict::Keep => format!("{}, confirmed", counted(fresh)),
            _ => "not better on the confirm split".into(),
        };
        judged.decide(decision.verdict, reason);
        Ok(())
    }

    /// Plans the runs: for each random seed the candidate, then the champion, each with its role.
    fn pairs<'a>(&'a self, candidate: &'a Candidate, seeds: impl IntoIterator<Item = (u64, String)>) -> Runs<'a> {
        let of = |candidate: &'a Candidate, random_seed| Experiment { component: &candidate.component, random_seed };
        let plan = seeds.into_iter().flat_map(|(seed, role)| {
            let theirs = format!("champion, {role}");
            [(role, of(candidate, seed)), (theirs, of(&self.champion.candidate, seed))]
        });
        Runs::new(self.bench, self.stop, plan)
    }
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

/// The number of fresh random seeds, in words.
fn counted(fresh: &[Scored]) -> String {
    match fresh.len() {
        1 => "1 fresh random seed".into(),
        n => format!("{n} fresh random seeds"),
    }
}

/// Returns the next pair. Returns `None` after the last pair, or after a failure, which it records in `judged`.
fn next_pair(
    runs: &mut Runs,
    role: Role,
    judged: &mut Judgement,
    tell: &mut dyn FnMut(Event),
) -> Result<Option<Scored>, BenchError> {
    let Some(run) = runs.next(tell)? else { return Ok(None) };
    judged.note(&run, role);
    let candidate = match Contender::of(run) {
        Ok(candidate) => candidate,
        Err(status) => {
            judged.fail(&status);
            return Ok(None);
        }
    };
    let Some(run) = runs.next(tell)? else { return Ok(None) };
    judged.note(&run, role);
    match Contender::of(run) {
        Ok(champion) => Ok(Some(Scored { candidate, champion })),
        Err(status) => {
            judged.go_without_champion(&status);
            Ok(None)
        }
    }
}
