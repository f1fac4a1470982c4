//! A night: propose, try, keep, until the policy's bounds or Ctrl-C. The loop and what it remembers; what a trial goes
//! through is in [`trial`], what is told is in [`event`].

mod clock;
pub mod event;
pub mod trial;

pub use trial::{Champion, Ending, Judged, Judgement};

use crate::bench::{Bench, BenchError, Candidate, Run, Split, describe, unix_ms};
use crate::key::ContextKey;
use crate::outcome::{Score, Status};
use crate::policy::Policy;
use crate::proposer::{
    Desk, Exchange, Ledger, Parent, Past, Proposal, ProposeError, Proposer, Reservation, Situation, Spend,
};
use crate::report::{self, ReportError};
use crate::sample::{self, SampleError, Style};
use crate::select::Noise;
use crate::store::{ExperimentRecord, NewTrial, StoreError, TrialRecord};
use clock::RunClock;
use event::{Baseline, Event, Standing, Summary, TrialLine};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use trial::{Court, RepeatKey, Seen};

/// Trials whose checkpoints stay, beside those of the kept ones.
const CHECKPOINTED_TRIALS: u64 = 20;

/// Tokens of held-out text that the sample at the end of a night goes on from.
const PROMPT_TOKENS: usize = 32;

/// What Ctrl-C sets: once, finish the experiment in hand; twice, stop now.
#[derive(Debug, Default)]
pub struct Stop(AtomicU32);

impl Stop {
    /// Nobody asked.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Ctrl-C was pressed (once more).
    pub fn press(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// After the experiment in hand.
    pub fn soon(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= 1
    }

    /// At once.
    pub fn now(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= 2
    }
}

/// Why a night ended early.
#[derive(Debug, thiserror::Error)]
pub enum NightError {
    /// The bench failed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The guest that the night starts from does not run.
    #[error("the seed guest cannot be trained: {0}")]
    SeedGuest(String),
    /// The report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Ctrl-C before there was anything to go on from.
    #[error("stopped before the baseline was measured; the runs that were finished are kept")]
    Interrupted,
}

impl From<StoreError> for NightError {
    fn from(error: StoreError) -> Self {
        Self::Bench(error.into())
    }
}

/// A ledger for proposers that cost nothing.
struct NoCosts;

impl Ledger for NoCosts {
    fn reserve(&mut self, _: &Spend) -> Result<Reservation, ProposeError> {
        Err(ProposeError::Stop("this night has no accounts for what costs".into()))
    }

    fn settle(&mut self, _: Reservation, _: &Exchange) -> Result<(), ProposeError> {
        Ok(())
    }
}

/// Bounds of a night, from the policy or the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Trained mutations.
    pub experiments: Option<u64>,
    /// Hours.
    pub hours: Option<f64>,
}

/// What a night is to do.
pub struct Plan<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Its name, for the record.
    pub policy_name: &'a str,
    /// What proposers are told.
    pub brief: &'a str,
    /// The guest that it starts from.
    pub seed_guest: Candidate,
    /// When it ends.
    pub bounds: Bounds,
}

/// A night under way.
pub struct Night<'a> {
    bench: &'a Bench,
    policy: &'a Policy,
    bounds: Bounds,
    brief: &'a str,
    stop: &'a Stop,
    tell: &'a mut dyn FnMut(Event),
    id: i64,
    started: Instant,
    baseline: Champion,
    baseline_figures: Baseline,
    champion: Champion,
    champion_bpb: f64,
    noise: Noise,
    seen: Seen,
    past: Vec<Arc<Past>>,
    trained: u64,
    decided: Vec<(Ending, Duration)>,
    repeats: [u64; 3],
    runs: u64,
}

impl<'a> Night<'a> {
    /// Measures the baseline (or finds it measured), takes up what earlier nights on the same terms left, and records
    /// that a night has begun.
    pub fn begin(
        bench: &'a Bench,
        plan: Plan<'a>,
        stop: &'a Stop,
        tell: &'a mut dyn FnMut(Event),
    ) -> Result<Self, NightError> {
        let Plan { policy, policy_name, brief, seed_guest, bounds } = plan;
        let context = bench.context_key(&seed_guest.component);
        let started = Instant::now();
        let baseline = Champion { trial: 0, candidate: seed_guest, description: "baseline".into() };
        let (scores, runs) = measure_baseline(bench, policy, &baseline, stop, tell)?;
        let values: Vec<f64> = scores.iter().map(|score| score.bpb).collect();
        let noise = Noise::of_replicas(&values);
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let baseline_figures = Baseline {
            bpb: mean,
            noise: noise.sd(),
            replicas: values.len() as u32,
            unigram: bench.task.unigram_bpb,
            compressors: bench.compressors.unwrap_or_default(),
        };
        tell(Event::Baseline(baseline_figures.clone()));
        let text = policy.canonical().unwrap_or_default();
        let id = bench.store.start_night(policy_name, &text, &bench.task.hash(), &context, unix_ms())?;
        let mut night = Self {
            bench,
            policy,
            bounds,
            brief,
            stop,
            tell,
            id,
            started,
            champion: baseline.clone(),
            champion_bpb: mean,
            baseline,
            baseline_figures,
            noise,
            seen: Seen::default(),
            past: Vec::new(),
            trained: 0,
            decided: Vec::new(),
            repeats: [0; 3],
            runs,
        };
        night.take_up(&context)?;
        Ok(night)
    }

    /// What was tried before on the same terms, and who won.
    fn take_up(&mut self, context: &ContextKey) -> Result<(), NightError> {
        let first = &self.baseline.candidate;
        self.past.push(Arc::new(Past {
            number: 0,
            parent: 0,
            champion: 0,
            proposer: String::new(),
            source: first.text.clone(),
            source_key: Some(first.source_key),
            hypothesis: String::new(),
            description: self.baseline.description.clone(),
            operator: String::new(),
            ending: Ending::Keep,
            reason: String::new(),
            bpb: Some(self.champion_bpb),
            delta: None,
        }));
        self.seen.insert(0, Some(first.source_key), Some(first.component.key()), first.behaviour);
        let trials = self.bench.store.trials_in(context)?;
        for record in &trials {
            self.remember(record)?;
        }
        for record in trials.iter().rev().filter(|record| record.trial.verdict == Ending::Keep.name()) {
            if self.reinstate(record)? {
                break;
            }
        }
        if !trials.is_empty() {
            (self.tell)(Event::Setup { what: "going on", text: format!("after {} earlier trials", trials.len()) });
        }
        Ok(())
    }

    /// Makes a kept trial the champion again; false, with a note, where it cannot be: the one before it then is.
    fn reinstate(&mut self, record: &TrialRecord) -> Result<bool, NightError> {
        let trial = &record.trial;
        let prepared = match self.source_of(record)? {
            Some(text) => self.bench.prepare(&text).map_err(|refusal| refusal.to_string()),
            None => Err("its source is damaged or missing in the store".into()),
        };
        let candidate = match prepared {
            Ok(candidate) => candidate,
            Err(reason) => {
                let text = format!("champion #{} is passed over: {reason}", trial.number);
                (self.tell)(Event::Note { text });
                return Ok(false);
            }
        };
        self.champion_bpb = trial.bpb.unwrap_or(self.champion_bpb);
        self.champion = Champion { trial: trial.number, candidate, description: trial.description.clone() };
        let text = format!("#{} {:.4}: {}", trial.number, self.champion_bpb, trial.description);
        (self.tell)(Event::Setup { what: "champion", text });
        Ok(true)
    }

    /// A trial's text; none where the store has lost it.
    fn source_of(&self, record: &TrialRecord) -> Result<Option<String>, NightError> {
        match self.bench.store.get_blob(&record.trial.source_blob) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(StoreError::Corrupt { .. } | StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn remember(&mut self, record: &TrialRecord) -> Result<(), NightError> {
        let trial = &record.trial;
        let ending = Ending::from_name(&trial.verdict);
        if !matches!(ending, Ending::HostFault) {
            self.seen.insert(trial.number, trial.source_key, trial.component_key, trial.behaviour_key);
        }
        let source = self.source_of(record)?.unwrap_or_default();
        self.past.push(Arc::new(Past {
            number: trial.number,
            parent: trial.parent,
            champion: trial.parent,
            proposer: trial.proposer.clone(),
            source,
            source_key: trial.source_key,
            hypothesis: String::new(),
            description: trial.description.clone(),
            operator: trial.operator.clone(),
            ending,
            reason: trial.reason.clone(),
            bpb: trial.bpb,
            delta: trial.delta,
        }));
        Ok(())
    }

    /// Tries what the proposers write until a bound is reached, and sums up.
    pub fn run(mut self, proposers: &mut [Box<dyn Proposer>]) -> Result<Summary, NightError> {
        let mut exhausted = 0;
        while !self.over() && exhausted < 3 {
            let number = self.next_number();
            let turn = usize::try_from(number).unwrap_or(0) % proposers.len().max(1);
            let Some(proposer) = proposers.get_mut(turn) else { break };
            let situation = Situation {
                parent: Arc::new(Parent {
                    number: self.champion.trial,
                    source: self.champion.candidate.text.clone(),
                    description: self.champion.description.clone(),
                    bpb: self.champion_bpb,
                    dry_run: self.champion.candidate.dry_run.clone(),
                }),
                brief: self.brief.into(),
                past: self.past.clone(),
                underway: Vec::new(),
                noise_floor: self.noise.floor(),
                budget_seconds: self.policy.budget.seconds,
                digest: "".into(),
                number,
                random_seed: self.policy.search.random_seed,
            };
            let mut desk = Desk { ledger: &mut NoCosts, cancelled: &AtomicBool::new(false) };
            let Ok(Some(proposal)) = proposer.propose(&situation, &mut desk) else {
                exhausted += 1;
                (self.tell)(Event::Note { text: format!("{} has nothing left to propose", proposer.name()) });
                continue;
            };
            exhausted = 0;
            let name = proposer.name().to_string();
            self.try_patiently(&name, &proposal)?;
        }
        self.end()
    }

    /// One trial; a full disk makes it wait, not end.
    pub fn try_patiently(&mut self, proposer: &str, proposal: &Proposal) -> Result<Option<TrialLine>, NightError> {
        let mut told = false;
        loop {
            match self.try_one(proposer, proposal) {
                Err(NightError::Bench(BenchError::Store(error @ StoreError::Full(_)))) if !self.stop.soon() => {
                    if !told {
                        (self.tell)(Event::Note { text: format!("waiting: {error}") });
                        told = true;
                    }
                    std::thread::sleep(Duration::from_secs(2));
                }
                other => return other,
            }
        }
    }

    fn try_one(&mut self, proposer: &str, proposal: &Proposal) -> Result<Option<TrialLine>, NightError> {
        let number = self.next_number();
        let started = Instant::now();
        (self.tell)(Event::Started { number, description: proposal.description.clone() });
        let court = Court {
            bench: self.bench,
            champion: &self.champion,
            noise: self.noise,
            rule: &self.policy.selection,
            seen: &self.seen,
            screening_seed: random_seed(self.policy, "replica", 0, 0),
            fresh_seeds: (0..self.policy.selection.fresh_seeds)
                .map(|i| random_seed(self.policy, "fresh", number, u64::from(i)))
                .collect(),
            stop: self.stop,
        };
        let tell = &mut *self.tell;
        let mut clock = RunClock::default();
        let judged = court.judge(&proposal.source, &mut |role, progress| clock.tell(role, progress, tell))?;
        let Judged::Done(found) = judged else { return Ok(None) };
        let line = self.record(proposer, proposal, number, &found, started.elapsed())?;
        Ok(Some(line))
    }

    fn record(
        &mut self,
        proposer: &str,
        proposal: &Proposal,
        number: u64,
        found: &Judgement,
        wall: Duration,
    ) -> Result<TrialLine, NightError> {
        let trial = NewTrial {
            number,
            unix_ms: unix_ms(),
            proposer: proposer.into(),
            parent: self.champion.trial,
            source_blob: self.bench.store.put_blob(proposal.source.as_bytes())?,
            source_key: found.source,
            component_key: found.component,
            behaviour_key: found.behaviour,
            experiment_key: found.experiment,
            verdict: found.ending.name().into(),
            bpb: found.bpb,
            delta: found.delta,
            p_better: found.p_better,
            description: proposal.description.clone(),
            operator: proposal.operator.clone(),
            reason: found.reason.clone(),
            peak_bytes: found.peak_bytes,
            wall_ms: wall.as_millis() as i64,
        };
        let id = self.bench.store.add_trial(self.id, &trial, &found.runs)?;
        if found.ending == Ending::Keep
            && let Some(candidate) = &found.candidate
        {
            self.champion =
                Champion { trial: number, candidate: candidate.clone(), description: proposal.description.clone() };
            self.champion_bpb = found.bpb.unwrap_or(self.champion_bpb);
        }
        self.count(found, wall);
        let trials = self.bench.store.trials_in(&self.bench.context_key(&self.baseline.candidate.component))?;
        report::write_results(&self.bench.store, &trials)?;
        if let Some(old) = trials.iter().find(|old| old.trial.number + CHECKPOINTED_TRIALS == number) {
            self.forget_checkpoints(old)?;
        }
        self.remember(&TrialRecord { id, night: self.id, trial })?;
        let line = TrialLine {
            number,
            elapsed_s: self.started.elapsed().as_secs_f64(),
            bpb: found.bpb,
            delta: found.delta,
            verdict: found.ending.name().into(),
            description: proposal.description.clone(),
            reason: found.reason.clone(),
            p_better: found.p_better,
            experiment: found.experiment.map(|key| key.to_string()),
        };
        (self.tell)(Event::Trial(line.clone()));
        let standing = self.standing();
        (self.tell)(Event::Standing(standing));
        Ok(line)
    }

    fn count(&mut self, found: &Judgement, wall: Duration) {
        self.runs += found.trained;
        if found.candidate.is_some() {
            self.trained += 1;
        }
        self.decided.push((found.ending, wall));
        if let Some((key, _)) = found.repeats {
            let slot = match key {
                RepeatKey::Source => 0,
                RepeatKey::Component => 1,
                RepeatKey::Behaviour => 2,
            };
            self.repeats[slot] += 1;
        }
    }

    /// A trial that was not kept keeps its outcome, not its checkpoints: they are most of what a night writes.
    fn forget_checkpoints(&self, old: &TrialRecord) -> Result<(), NightError> {
        if old.trial.verdict == Ending::Keep.name() {
            return Ok(());
        }
        let store = &self.bench.store;
        for (key, _) in store.runs(old.id)? {
            let own = store.find_experiment(&key)?.map(|record| record.manifest.component) == old.trial.component_key;
            if own {
                store.forget_checkpoints(&key)?;
            }
        }
        Ok(())
    }

    fn next_number(&self) -> u64 {
        self.past.last().map_or(1, |past| past.number + 1)
    }

    fn over(&self) -> bool {
        self.stop.soon()
            || self.bounds.experiments.is_some_and(|n| self.trained >= n)
            || self.hours_left().is_some_and(|left| left <= 0.0)
    }

    fn hours_left(&self) -> Option<f64> {
        self.bounds.hours.map(|hours| hours - self.started.elapsed().as_secs_f64() / 3600.0)
    }

    fn standing(&self) -> Standing {
        let done = self.decided.len() as u64;
        let mean = self.decided.iter().map(|(_, wall)| wall.as_secs_f64()).sum::<f64>() / done.max(1) as f64;
        let by_experiments = self.bounds.experiments.map(|n| {
            let per_trained = done as f64 / self.trained.max(1) as f64;
            n.saturating_sub(self.trained) as f64 * per_trained * mean
        });
        let by_hours = self.hours_left().map(|hours| hours.max(0.0) * 3600.0);
        let seconds_left = match (by_experiments, by_hours) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Standing {
            done,
            of_about: seconds_left.map(|left| done + (left / mean.max(1e-3)).round() as u64),
            champion: self.champion.trial,
            champion_bpb: self.champion_bpb,
            seconds_left,
        }
    }

    /// Sums up: the sealed test split is read now, once for the champion and once for the baseline.
    pub fn end(mut self) -> Result<Summary, NightError> {
        let interrupted = self.stop.soon();
        let seed = random_seed(self.policy, "replica", 0, 0);
        let test_bpb = if self.stop.now() { None } else { self.test(seed)? };
        let champion_run = self.finished(&self.champion.candidate, seed)?;
        let record = champion_run.as_ref().and_then(|run| run.record.clone());
        let sample = match &record {
            Some(record) if !self.stop.now() => self.sample(record)?,
            _ => String::new(),
        };
        let mut verdicts = std::collections::BTreeMap::<String, u64>::new();
        for (ending, _) in &self.decided {
            *verdicts.entry(ending.name().into()).or_default() += 1;
        }
        let summary = Summary {
            verdicts: verdicts.into_iter().collect(),
            repeats: self.repeats,
            runs: self.runs,
            baseline: self.baseline_figures.clone(),
            champion: self.champion.trial,
            champion_description: self.champion.description.clone(),
            champion_bpb: self.champion_bpb,
            test_bpb,
            test_reads: self.bench.store.count_scores(&self.bench.task.hash(), Split::Test.name())?,
            champion_experiment: champion_run.map(|run| run.key.to_string()).unwrap_or_default(),
            sample,
            seconds: self.started.elapsed().as_secs_f64(),
            interrupted,
        };
        self.bench.store.end_night(self.id, unix_ms())?;
        let trials = self.bench.store.trials_in(&self.bench.context_key(&self.champion.candidate.component))?;
        let champion = &self.champion.candidate;
        // A night that decided nothing leaves the last report as it is.
        if !self.decided.is_empty() {
            let files = (champion.text.as_str(), champion.component.bytes(), record.as_ref());
            report::write_report(self.bench, &summary, &trials, Some(files))?;
        }
        (self.tell)(Event::Summary(Box::new(summary.clone())));
        Ok(summary)
    }

    /// A run that the store has; none where it was never finished.
    fn finished(&self, candidate: &Candidate, seed: u64) -> Result<Option<Run>, NightError> {
        Ok(self.bench.run_before(&self.bench.manifest(&candidate.component, seed))?)
    }

    fn test(&mut self, seed: u64) -> Result<Option<(f64, f64)>, NightError> {
        let mut scores = Vec::new();
        let mut contenders = vec![&self.baseline];
        if self.champion.trial != 0 {
            contenders.push(&self.champion);
        }
        for who in contenders {
            let Some(run) = self.finished(&who.candidate, seed)? else { return Ok(None) };
            match self.bench.score(&who.candidate.component, &run, Split::Test, "report")? {
                Ok(score) => scores.push(score.bpb),
                Err(status) => {
                    (self.tell)(Event::Note { text: format!("the test split was not scored: {}", describe(&status)) });
                    return Ok(None);
                }
            }
        }
        Ok(scores.first().copied().zip(scores.last().copied()))
    }

    /// The champion goes on from the beginning of the first search chunk.
    fn sample(&mut self, record: &ExperimentRecord) -> Result<String, NightError> {
        let chunk = self.bench.task.search.first().map_or(&[][..], Vec::as_slice);
        let head = chunk.get(..PROMPT_TOKENS.min(chunk.len())).unwrap_or_default();
        let prompt = self.bench.task.task.tokenizer.decode(head).unwrap_or_default();
        match sample::sample(self.bench, record, &self.champion.candidate.component, &prompt, &Style::default()) {
            Ok(text) => Ok(format!("{}{text}", String::from_utf8_lossy(&prompt))),
            Err(SampleError::Store(error)) => Err(error.into()),
            Err(error) => {
                (self.tell)(Event::Note { text: format!("no sample: {error}") });
                Ok(String::new())
            }
        }
    }
}

/// The seed guest on as many random seeds as the policy asks for: its mean is the baseline, its spread the noise. Also how
/// many of these runs were not in the store yet.
fn measure_baseline(
    bench: &Bench,
    policy: &Policy,
    baseline: &Champion,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
) -> Result<(Vec<Score>, u64), NightError> {
    let replicas = policy.selection.replicas.max(1);
    let (mut scores, mut trained) = (Vec::new(), 0);
    for i in 0..replicas {
        if stop.soon() {
            return Err(NightError::Interrupted);
        }
        tell(Event::Started { number: 0, description: format!("baseline, random seed {} of {replicas}", i + 1) });
        let mut clock = RunClock::default();
        let seed = random_seed(policy, "replica", 0, u64::from(i));
        let run = bench.run(&baseline.candidate, seed, &mut |progress| {
            clock.tell("baseline", &progress, tell);
            if stop.now() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        trained += u64::from(run.wall.is_some());
        match (run.outcome.status, run.outcome.score) {
            (Status::Completed, Some(score)) => scores.push(score),
            _ if stop.now() => return Err(NightError::Interrupted),
            (status, _) => return Err(NightError::SeedGuest(describe(&status))),
        }
    }
    Ok((scores, trained))
}

/// A random seed of the night, by purpose, trial and index: blake3 of the four in a context of its own.
fn random_seed(policy: &Policy, purpose: &str, trial: u64, index: u64) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("lab 2026-11 random seed v1");
    hasher.update(&policy.search.random_seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(&trial.to_le_bytes());
    hasher.update(&index.to_le_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
