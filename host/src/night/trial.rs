//! One trial: a mutation from its text to a verdict. Screening on one random seed, fresh random seeds on which the
//! champion is trained too, the confirm split last. Depends on the bench and on selection; knows nothing of proposers.

use crate::bench::{Bench, BenchError, Candidate, Refusal, Run, Split};
use crate::key::{BehaviourKey, ComponentKey, ExperimentKey, SourceKey};
use crate::night::Stop;
use crate::outcome::{HostFault, Score, Status};
use crate::policy::Selection;
use crate::sandbox::Progress;
use crate::select::{self, Noise, Pair, Verdict};
use crate::source::Source;
use crate::store::Role;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The mutation that the others are compared with.
#[derive(Clone, Debug)]
pub struct Champion {
    /// Its trial; 0 for the baseline.
    pub trial: u64,
    /// What runs.
    pub candidate: Candidate,
    /// The change that made it.
    pub description: String,
}

/// What was tried before on the same terms, by each of the three keys.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    sources: BTreeMap<SourceKey, u64>,
    components: BTreeMap<ComponentKey, u64>,
    behaviours: BTreeMap<BehaviourKey, u64>,
}

/// Which key stopped a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatKey {
    /// Found before compiling.
    Source,
    /// Found before the dry run.
    Component,
    /// Found before training.
    Behaviour,
}

impl RepeatKey {
    /// As users read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source key",
            Self::Component => "component key",
            Self::Behaviour => "behaviour key",
        }
    }
}

impl Seen {
    /// Remembers what is known of a trial.
    pub fn insert(
        &mut self,
        trial: u64,
        source: Option<SourceKey>,
        component: Option<ComponentKey>,
        behaviour: Option<BehaviourKey>,
    ) {
        if let Some(key) = source {
            self.sources.entry(key).or_insert(trial);
        }
        if let Some(key) = component {
            self.components.entry(key).or_insert(trial);
        }
        if let Some(key) = behaviour {
            self.behaviours.entry(key).or_insert(trial);
        }
    }

    /// The trial that had this source.
    pub fn source(&self, key: &SourceKey) -> Option<u64> {
        self.sources.get(key).copied()
    }

    /// The trial that had this component.
    pub fn component(&self, key: &ComponentKey) -> Option<u64> {
        self.components.get(key).copied()
    }

    /// The trial that behaved like this.
    pub fn behaviour(&self, key: &BehaviourKey) -> Option<u64> {
        self.behaviours.get(key).copied()
    }
}

/// How a trial ended, as users read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The new champion.
    Keep,
    /// Worse.
    Discard,
    /// Within the noise, or not proven.
    Noise,
    /// Tried before.
    Same,
    /// Not trained: source, compiler, component or dry run.
    Refused,
    /// The guest failed while it trained or was evaluated.
    Failed,
    /// The host could not finish it: says nothing about the mutation.
    HostFault,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Self; 7] =
        [Self::Keep, Self::Discard, Self::Noise, Self::Same, Self::Refused, Self::Failed, Self::HostFault];

    /// The ending of that name; what a later version may have written reads as a host fault, which decides nothing.
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|ending| ending.name() == name).unwrap_or(Self::HostFault)
    }

    /// As the log and the store have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Discard => "discard",
            Self::Noise => "noise",
            Self::Same => "same",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::HostFault => "host-fault",
        }
    }
}

/// What a trial found out.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// How it ended.
    pub ending: Ending,
    /// Why, in words; may be empty.
    pub reason: String,
    /// Score of the screening run.
    pub bpb: Option<f64>,
    /// Candidate less champion on the same random seeds: negative is better.
    pub delta: Option<f64>,
    /// Posterior probability that it is better.
    pub p_better: Option<f64>,
    /// Its screening run, where it came to a result.
    pub experiment: Option<ExperimentKey>,
    /// All recorded runs that the verdict rests on, the champion's too, with their role.
    pub runs: Vec<(ExperimentKey, Role)>,
    /// Runs that were trained for this trial rather than found in the store.
    pub trained: u64,
    /// The keys, as far as they were reached.
    pub source: Option<SourceKey>,
    /// See `source`.
    pub component: Option<ComponentKey>,
    /// See `source`.
    pub behaviour: Option<BehaviourKey>,
    /// The key that stopped it, and the trial that it repeats.
    pub repeats: Option<(RepeatKey, u64)>,
    /// What runs, where it passed the dry run.
    pub candidate: Option<Candidate>,
    /// Most tensor bytes alive at once, by the dry run.
    pub peak_bytes: Option<u64>,
}

impl Judgement {
    /// A run belongs to the trial; the first one is the screening run.
    fn note(&mut self, run: &Run) {
        self.trained += u64::from(run.wall.is_some());
        if run.record.is_none() {
            return;
        }
        let role = if self.runs.len() < 2 { Role::Search } else { Role::FreshSeed };
        self.runs.push((run.key, role));
        self.experiment.get_or_insert(run.key);
    }

    fn new(ending: Ending, reason: impl Into<String>) -> Self {
        Self {
            ending,
            reason: reason.into(),
            bpb: None,
            delta: None,
            p_better: None,
            experiment: None,
            runs: Vec::new(),
            trained: 0,
            source: None,
            component: None,
            behaviour: None,
            repeats: None,
            candidate: None,
            peak_bytes: None,
        }
    }
}

/// What a trial is judged against.
pub struct Court<'a> {
    /// Runs experiments.
    pub bench: &'a Bench,
    /// Whom to beat.
    pub champion: &'a Champion,
    /// How much scores vary.
    pub noise: Noise,
    /// What counts as a gain.
    pub rule: &'a Selection,
    /// Tried before.
    pub seen: &'a Seen,
    /// Random seed of the screening runs.
    pub screening_seed: u64,
    /// Fresh random seeds for this trial, as many as the rule asks for.
    pub fresh_seeds: Vec<u64>,
    /// Set by Ctrl-C.
    pub stop: &'a Stop,
}

/// Either a verdict, or the user stopped it half way.
pub enum Judged {
    /// Decided.
    Done(Box<Judgement>),
    /// Nothing is recorded; it will be tried again.
    Interrupted,
}

impl Court<'_> {
    /// Takes a mutation through the three keys and the runs it deserves.
    pub fn judge(&self, text: &str, watch: &mut dyn FnMut(&str, &Progress)) -> Result<Judged, BenchError> {
        let mut found = Judgement::new(Ending::Refused, "");
        match self.admit(text, &mut found)? {
            Some(candidate) => self.try_candidate(candidate, found, watch),
            None => Ok(Judged::Done(Box::new(found))),
        }
    }

    /// Source, component and behaviour key, compiler and dry run: none means that `found` says why not.
    fn admit(&self, text: &str, found: &mut Judgement) -> Result<Option<Candidate>, BenchError> {
        match self.admit_or_refuse(text, found) {
            Ok(candidate) => Ok(candidate),
            Err(Refusal::Bench(error)) => Err(error),
            Err(Refusal::Run(Status::HostFault { kind, message })) => {
                found.ending = Ending::HostFault;
                found.reason = format!("{kind}: {message}");
                Ok(None)
            }
            Err(refusal) => {
                found.ending = Ending::Refused;
                found.reason = refusal.to_string();
                Ok(None)
            }
        }
    }

    fn admit_or_refuse(&self, text: &str, found: &mut Judgement) -> Result<Option<Candidate>, Refusal> {
        let source = Source::parse(text)?;
        let source_key = source.key();
        found.source = Some(source_key);
        if let Some(trial) = self.seen.source(&source_key) {
            return Ok(self.repeat(found, RepeatKey::Source, trial));
        }
        let component = self.bench.compile(&source)?;
        found.component = Some(component.key());
        if let Some(trial) = self.seen.component(&component.key()) {
            return Ok(self.repeat(found, RepeatKey::Component, trial));
        }
        let candidate = self.bench.dry_run(text, source_key, component)?;
        found.peak_bytes = Some(candidate.dry_run.train.peak_bytes);
        found.behaviour = candidate.behaviour;
        if let Some(trial) = candidate.behaviour.as_ref().and_then(|key| self.seen.behaviour(key)) {
            return Ok(self.repeat(found, RepeatKey::Behaviour, trial));
        }
        Ok(Some(candidate))
    }

    fn repeat(&self, found: &mut Judgement, key: RepeatKey, trial: u64) -> Option<Candidate> {
        found.ending = Ending::Same;
        found.reason = if trial == 0 {
            format!("as the baseline ({})", key.name())
        } else {
            format!("as #{trial} ({})", key.name())
        };
        found.repeats = Some((key, trial));
        None
    }

    fn try_candidate(
        &self,
        candidate: Candidate,
        mut found: Judgement,
        watch: &mut dyn FnMut(&str, &Progress),
    ) -> Result<Judged, BenchError> {
        found.candidate = Some(candidate.clone());
        let Some(first) = self.pair(&candidate, self.screening_seed, "screening", &mut found, watch)? else {
            return Ok(self.ended(found));
        };
        found.bpb = Some(first.candidate.bpb);
        let screened = select::screen(&self.noise, first.as_pair())?;
        found.delta = Some(-screened.gain.mean);
        if screened.verdict != Verdict::NeedsFreshSeeds {
            return Ok(self.close(found, screened.verdict, ""));
        }
        let mut fresh = Vec::new();
        for (i, &seed) in self.fresh_seeds.iter().enumerate() {
            let what = format!("fresh random seed {} of {}", i + 1, self.fresh_seeds.len());
            let Some(pair) = self.pair(&candidate, seed, &what, &mut found, watch)? else {
                return Ok(self.ended(found));
            };
            fresh.push(pair);
            let pairs: Vec<Pair> = fresh.iter().map(Scored::as_pair).collect();
            let decision = select::decide(self.rule, &self.noise, &pairs, None)?;
            found.delta = Some(-decision.gain.mean);
            found.p_better = Some(decision.p_better);
            match decision.verdict {
                Verdict::NeedsFreshSeeds => {}
                Verdict::NeedsConfirm => return self.confirm(candidate, &fresh, found),
                verdict => {
                    let seeds = if fresh.len() == 1 {
                        "1 fresh random seed".into()
                    } else {
                        format!("{} fresh random seeds", fresh.len())
                    };
                    return Ok(self.close(found, verdict, &format!("did not hold on {seeds}")));
                }
            }
        }
        Ok(self.close(found, Verdict::Noise, "not proven"))
    }

    /// The last question: is it better on text that nothing was selected on?
    fn confirm(&self, candidate: Candidate, fresh: &[Scored], mut found: Judgement) -> Result<Judged, BenchError> {
        let mut confirmed = Vec::new();
        for pair in fresh {
            let mine = self.bench.score(&candidate.component, &pair.candidate_run, Split::Confirm, "keep")?;
            let theirs =
                self.bench.score(&self.champion.candidate.component, &pair.champion_run, Split::Confirm, "keep")?;
            match (theirs, mine) {
                (Ok(champion), Ok(candidate)) => confirmed.push((champion, candidate)),
                (Err(status), _) | (_, Err(status)) => {
                    self.fail(&mut found, &status);
                    return Ok(self.ended(found));
                }
            }
        }
        let pairs: Vec<Pair> = fresh.iter().map(Scored::as_pair).collect();
        let on_confirm: Vec<Pair> =
            confirmed.iter().map(|(champion, candidate)| Pair { champion, candidate }).collect();
        let decision = select::decide(self.rule, &self.noise, &pairs, Some(&on_confirm))?;
        let reason = match decision.verdict {
            Verdict::Keep => format!("{} fresh random seeds, confirmed", fresh.len()),
            _ => "not better on the confirm split".into(),
        };
        Ok(self.close(found, decision.verdict, &reason))
    }

    fn close(&self, mut found: Judgement, verdict: Verdict, reason: &str) -> Judged {
        found.ending = match verdict {
            Verdict::Keep => Ending::Keep,
            Verdict::Discard => Ending::Discard,
            Verdict::Noise | Verdict::NeedsFreshSeeds | Verdict::NeedsConfirm => Ending::Noise,
        };
        found.reason = reason.into();
        Judged::Done(Box::new(found))
    }

    fn ended(&self, found: Judgement) -> Judged {
        if found.ending == Ending::HostFault && self.stop.now() {
            Judged::Interrupted
        } else {
            Judged::Done(Box::new(found))
        }
    }

    /// Candidate and champion on one random seed; none means that `found` says what failed.
    fn pair(
        &self,
        candidate: &Candidate,
        random_seed: u64,
        role: &str,
        found: &mut Judgement,
        watch: &mut dyn FnMut(&str, &Progress),
    ) -> Result<Option<Scored>, BenchError> {
        let mine = self.run(candidate, random_seed, role, watch)?;
        found.note(&mine);
        let Some(candidate_score) = self.completed(&mine, found) else { return Ok(None) };
        let theirs = self.run(&self.champion.candidate, random_seed, &format!("champion, {role}"), watch)?;
        found.note(&theirs);
        let Some(champion_score) = self.completed(&theirs, found) else { return Ok(None) };
        Ok(Some(Scored {
            candidate: candidate_score,
            champion: champion_score,
            candidate_run: mine,
            champion_run: theirs,
        }))
    }

    fn run(
        &self,
        candidate: &Candidate,
        random_seed: u64,
        role: &str,
        watch: &mut dyn FnMut(&str, &Progress),
    ) -> Result<Run, BenchError> {
        self.bench.run(candidate, random_seed, &mut |progress| {
            watch(role, &progress);
            if self.stop.now() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    fn completed(&self, run: &Run, found: &mut Judgement) -> Option<Score> {
        if let (Status::Completed, Some(score)) = (&run.outcome.status, &run.outcome.score) {
            return Some(score.clone());
        }
        self.fail(found, &run.outcome.status);
        None
    }

    fn fail(&self, found: &mut Judgement, status: &Status) {
        match status {
            Status::HostFault { kind, message } => {
                found.ending = Ending::HostFault;
                found.reason =
                    if *kind == HostFault::Interrupted { "interrupted".into() } else { format!("{kind}: {message}") };
            }
            Status::GuestFault { kind, message } => {
                found.ending = Ending::Failed;
                found.reason = format!("{kind}: {message}");
            }
            Status::Completed => {
                found.ending = Ending::HostFault;
                found.reason = "completed without a score: the store may be damaged".into();
            }
        }
    }
}

/// Candidate and champion on one random seed.
struct Scored {
    candidate: Score,
    champion: Score,
    candidate_run: Run,
    champion_run: Run,
}

impl Scored {
    fn as_pair(&self) -> Pair<'_> {
        Pair { champion: &self.champion, candidate: &self.candidate }
    }
}
