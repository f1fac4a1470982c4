//! Reads a page from the store. What the store has lost is named on the page, and the rest is shown.

use crate::night::past::{self, PastError};
use crate::night::report::files;
use crate::night::report::page::clock::Clock;
use crate::night::report::page::content::{Champion, Entry, ExchangeEntry, Guest, Page, RunEntry, Search, Step};
use crate::night::report::page::edits;
use crate::night::report::picture::{self, Picture, possible};
use crate::policy::Policy;
use crate::propose::evolve::known::{Importance, know, moved};
use crate::record::ending::Ending;
use crate::record::facts;
use crate::record::key::Hash;
use crate::record::outcome::{GuestFault, Outcome};
use crate::record::spend::Spend;
use crate::record::store::{ExperimentRecord, NightRecord, Store, StoreError, TrialRecord};
use crate::record::trial::{Findings, Trial};
use crate::system::sanitize;
use serde::Serialize;
use std::collections::BTreeMap;

/// Points of a loss curve.
const CURVE_POINTS: usize = 48;
/// Longest request or answer on a page, and all of them together, in bytes.
const MOST_EXCHANGE_BYTES: usize = 24_000;
const MOST_EXCHANGES_BYTES: usize = 4_000_000;
/// Longest source on a page in bytes.
const MOST_SOURCE_BYTES: usize = 200_000;
/// Longest text of other kinds, in characters.
const MOST_CHARS: usize = 600;
const NEAR_MISSES: usize = 10;
/// Most kinds of failure that are told apart.
const MOST_KINDS: usize = 12;
/// Most lost things that are named.
const MOST_LOST: usize = 20;

impl Page {
    /// The page of a night.
    ///
    /// # Errors
    /// If the index cannot be read. A lost blob is no error.
    pub fn of(store: &Store, night: &NightRecord, policy: &Policy) -> Result<Self, StoreError> {
        Self::read(store, (night, policy), true)
    }

    /// The page of a night without what [`details`] has of trials that are not champions.
    ///
    /// # Errors
    /// As [`Page::of`].
    pub fn outline(store: &Store, night: &NightRecord, policy: &Policy) -> Result<Self, StoreError> {
        Self::read(store, (night, policy), false)
    }

    /// As [`Page::outline`], of the night with this number at one moment.
    ///
    /// # Errors
    /// If there is no such night, or if the index or the night's policy cannot be read.
    pub fn of_night(store: &Store, number: i64) -> Result<Self, PastError> {
        store.at_once(|store| {
            let (record, policy) = past::night(store, Some(number))?;
            Ok(Self::outline(store, &record, &policy)?)
        })
    }

    /// All about the trials on the path to the best is read, and about the others `with_details`.
    fn read(store: &Store, (night, policy): (&NightRecord, &Policy), with_details: bool) -> Result<Self, StoreError> {
        let all = store.trials_in(&night.context)?;
        let picture = Picture::among(store, night, policy, &all)?;
        let replicas = picture::baseline_runs(store, &night.context, &all, policy)?;
        let trials = until(all, night);
        let path = path(&trials);
        let on_path = |number: u64| path.binary_search(&number).is_ok();
        let mut reader = Reader::new(store, night, u64::from(policy.task.context))?;
        // A parent of a champion is a champion, or the seed guest.
        for TrialRecord { trial, .. } in trials.iter().filter(|record| with_details || on_path(record.trial.number)) {
            reader.add_source_of(trial)?;
        }
        let (seed, baseline) = reader.seed_guest(&replicas)?;
        let shown = trials.iter().filter(|record| record.night == night.id || on_path(record.trial.number));
        let mut entries = vec![seed];
        for record in shown {
            entries.push(match with_details || on_path(record.trial.number) {
                true => reader.entry(record)?,
                false => reader.outline(&record.trial),
            });
        }
        let path = reader.steps(&path, &trials)?;
        let champion = match path.last() {
            Some(step) => Some(reader.champion(step, &trials)?),
            None => None,
        };
        let written = reader.sources.get(&champion.as_ref().map_or(0, |champion| champion.number));
        let sample = written.and_then(|text| files::sample(store, text)).map(|text| sanitize::printable(&text));
        let sample = sample.unwrap_or_default();
        let own: Vec<&Trial> =
            trials.iter().filter(|record| record.night == night.id).map(|record| &record.trial).collect();
        let importance = importance(&trials, &picture);
        let search = search(store, night.id, &own, importance)?;
        let clock = Clock::of(store, night, &replicas, &own)?;
        Ok(Self {
            picture,
            task: night.task,
            profile: policy.budget.profile.clone(),
            started_unix_ms: night.started_unix_ms,
            ended_unix_ms: night.ended_unix_ms,
            baseline,
            champion,
            path,
            entries,
            search,
            clock,
            sample,
            lost: reader.lost,
        })
    }
}

/// All about one trial, with the source of its parent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Details {
    /// The trial, and its parent before it, if the store has its source.
    pub entries: Vec<Entry>,
    /// What the store has lost.
    pub lost: Vec<String>,
}

/// All about the trial of a night, or about an earlier champion; 0 is the seed guest. None if there is no such trial.
///
/// # Errors
/// If the index cannot be read. A lost blob is no error.
pub fn details(
    store: &Store,
    night: &NightRecord,
    policy: &Policy,
    number: u64,
) -> Result<Option<Details>, StoreError> {
    let mut reader = Reader::new(store, night, u64::from(policy.task.context))?;
    let trials = store.trials_in(&night.context)?;
    let baseline = picture::baseline_runs(store, &night.context, &trials, policy)?;
    let (seed, _) = reader.seed_guest(&baseline)?;
    if number == 0 {
        return Ok(Some(Details { entries: vec![seed], lost: reader.lost }));
    }
    let Some(record) = store.trial_in(&night.context, number)? else { return Ok(None) };
    let parent = match record.trial.parent {
        0 => Some(seed),
        parent if parent < number => store
            .trial_in(&night.context, parent)?
            .map(|TrialRecord { trial, .. }| {
                reader.add_source_of(&trial)?;
                let source = reader.sources.get(&parent).cloned();
                Ok::<_, StoreError>(Entry { source, ..reader.outline(&trial) })
            })
            .transpose()?,
        _ => None,
    };
    reader.add_source_of(&record.trial)?;
    let own = reader.entry(&record)?;
    Ok(Some(Details { entries: parent.into_iter().chain([own]).collect(), lost: reader.lost }))
}

/// Of the trials of a context, those that a night's page is about: its own and those before, not what later nights did.
fn until(mut trials: Vec<TrialRecord>, night: &NightRecord) -> Vec<TrialRecord> {
    match trials.iter().rposition(|record| record.night == night.id) {
        Some(last) => trials.truncate(last + 1),
        None => trials.retain(|record| record.night < night.id),
    }
    trials
}

/// The numbers of the champions that led to the last one, oldest first, by their parents.
fn path(trials: &[TrialRecord]) -> Vec<u64> {
    let by_number: BTreeMap<u64, &Trial> = trials.iter().map(|record| (record.trial.number, &record.trial)).collect();
    let last = trials.iter().map(|record| &record.trial).rfind(|trial| trial.is_kept());
    let mut path = Vec::new();
    let mut next = last.map(|trial| trial.number);
    while let Some(trial) = next.and_then(|number| by_number.get(&number)) {
        path.push(trial.number);
        // A parent is older than what is made of it, so this ends, whatever a damaged record says.
        next = (0 < trial.parent && trial.parent < trial.number).then_some(trial.parent);
    }
    path.reverse();
    path
}

struct Reader<'a> {
    store: &'a Store,
    /// Tokens of a chunk of held-out text.
    context: u64,
    /// Sources by trial; the seed guest is 0.
    sources: BTreeMap<u64, String>,
    /// Gains of kept trials on further random seeds, by trial.
    again: BTreeMap<u64, Vec<f64>>,
    spends: BTreeMap<i64, Spend>,
    /// Bytes of requests and answers so far.
    exchanged: usize,
    lost: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(store: &'a Store, night: &NightRecord, context: u64) -> Result<Self, StoreError> {
        let mut again = BTreeMap::<u64, Vec<f64>>::new();
        for recheck in store.rechecks(&night.context)? {
            again.entry(recheck.number).or_default().extend(possible(recheck.gain));
        }
        let (sources, lost) = (BTreeMap::new(), Vec::new());
        Ok(Self { store, context, sources, again, spends: store.spends()?, exchanged: 0, lost })
    }

    fn add_source_of(&mut self, trial: &Trial) -> Result<(), StoreError> {
        if let Some(text) = self.text(&trial.source_blob, || format!("source of #{}", trial.number))? {
            self.sources.insert(trial.number, text);
        }
        Ok(())
    }

    /// What was read, or nothing if the store has lost it, which is then said.
    fn found<T>(
        &mut self,
        what: impl FnOnce() -> String,
        read: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let error = match read {
            Ok(found) => return Ok(Some(found)),
            Err(error) if error.is_of_damage() => error,
            Err(error) => return Err(error),
        };
        match self.lost.len() {
            MOST_LOST => self.lost.push("and more; `host store check` lists all".into()),
            0..MOST_LOST => self.lost.push(words(&format!("{}: {error}", what()))),
            _ => {}
        }
        Ok(None)
    }

    fn text(&mut self, blob: &Hash, what: impl FnOnce() -> String) -> Result<Option<String>, StoreError> {
        let bytes = self.found(what, self.store.get_blob(blob))?;
        Ok(bytes.map(|bytes| sanitize::printable(&String::from_utf8_lossy(&bytes))))
    }

    /// The seed guest as entry 0, and its scores.
    fn seed_guest(&mut self, runs: &[ExperimentRecord]) -> Result<(Entry, Guest), StoreError> {
        let mut entry = entry_of(&Trial::baseline("", Findings::new(Ending::Keep)));
        let Some(first) = runs.first() else { return Ok((entry, Guest::default())) };
        if let Some(component) = self.store.component(&first.manifest.component)?
            && let Some(text) = self.text(&component.source_blob, || "source of the seed guest".into())?
        {
            self.sources.insert(0, text);
        }
        self.add_source(&mut entry);
        let mut guest = self.scores(runs)?;
        let scores: Vec<f64> = runs.iter().filter_map(|run| possible(run.val_bpb)).collect();
        guest.search = (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
        guest.seeds = scores.len();
        entry.bpb = guest.search;
        entry.experiment = Some(first.key.short());
        self.add_run(&mut entry, first)?;
        Ok((entry, guest))
    }

    /// Scores on further splits by these runs.
    fn scores(&mut self, runs: &[ExperimentRecord]) -> Result<Guest, StoreError> {
        let mut guest = Guest::default();
        for run in runs {
            let scores = self.found(|| format!("scores of {}", run.key.short()), self.store.scores(&run.key))?;
            for score in scores.unwrap_or_default() {
                let place = match score.split.as_str() {
                    "confirm" => &mut guest.confirm,
                    "test" => &mut guest.test,
                    _ => continue,
                };
                *place = place.or(possible(Some(score.score.bpb)));
            }
        }
        Ok(guest)
    }

    /// A trial without its source, its runs and what they recorded.
    fn outline(&self, trial: &Trial) -> Entry {
        let mut entry = entry_of(trial);
        let spend = trial.proposal.and_then(|proposal| self.spends.get(&proposal));
        entry.spend = spend.copied().unwrap_or_default();
        entry.again = self.again.get(&trial.number).cloned().unwrap_or_default();
        entry
    }

    fn entry(&mut self, record: &TrialRecord) -> Result<Entry, StoreError> {
        let TrialRecord { id, trial, .. } = record;
        let mut entry = self.outline(trial);
        if let Some(proposal) = trial.proposal.filter(|_| entry.spend.requests > 0) {
            entry.repairs = self.store.turn_spend(proposal)?.1;
        }
        self.add_source(&mut entry);
        for (key, role) in self.store.roles_of(*id)? {
            let run = self.found(|| format!("run {}", key.short()), self.store.find_experiment(&key))?.flatten();
            entry.runs.extend(run.map(|run| RunEntry {
                experiment: key.short(),
                role: words(&role),
                random_seed: run.manifest.random_seed.to_string(),
                own: trial.found.component_key == Some(run.manifest.component),
                status: words(&run.status),
                bpb: short(run.val_bpb),
            }));
        }
        if let Some(key) = trial.found.experiment
            && let Some(run) =
                self.found(|| format!("run {}", key.short()), self.store.find_experiment(&key))?.flatten()
        {
            self.add_run(&mut entry, &run)?;
        }
        if entry.spend.requests > 0 {
            self.add_exchanges(&mut entry, trial)?;
        }
        Ok(entry)
    }

    /// The source as changes of its parent, or in full if the parent's is lost.
    fn add_source(&self, entry: &mut Entry) {
        let Some(source) = self.sources.get(&entry.number).filter(|text| text.len() <= MOST_SOURCE_BYTES) else {
            return;
        };
        let parent = self.sources.get(&entry.parent).filter(|_| entry.parent < entry.number);
        match parent.filter(|text| text.len() <= MOST_SOURCE_BYTES) {
            Some(parent) => entry.edits = Some(edits::edits(parent, source)),
            None => entry.source = Some(source.clone()),
        }
    }

    /// Adds what a run has recorded: its curve and where its budget went.
    fn add_run(&mut self, entry: &mut Entry, run: &ExperimentRecord) -> Result<(), StoreError> {
        let outcome = self.found(|| format!("outcome of {}", run.key.short()), self.store.outcome(run))?;
        if let Some(outcome) = outcome {
            entry.curve = curve(&outcome);
            entry.held_out_nats = held_out_nats(&outcome, self.context);
            entry.shares = facts::shares(&outcome.totals);
            for share in &mut entry.shares {
                (share.class, share.share) = (words(&share.class), short(Some(share.share)).unwrap_or(0.0));
            }
        }
        let dry_run = self.store.find_dry_run(&run.manifest.dry_run_key());
        let dry_run = self.found(|| format!("dry run of {}", run.key.short()), dry_run)?.flatten();
        if let Some(Ok(dry_run)) = dry_run {
            entry.lines = facts::line_shares(&dry_run);
            for line in &mut entry.lines {
                (line.function, line.share) = (words(&line.function), short(Some(line.share)).unwrap_or(0.0));
            }
        }
        Ok(())
    }

    fn add_exchanges(&mut self, entry: &mut Entry, trial: &Trial) -> Result<(), StoreError> {
        let Some(proposal) = trial.proposal else { return Ok(()) };
        for exchange in self.store.turn_exchanges(proposal)? {
            let mut read = |blob: Option<Hash>| {
                let Some(blob) = blob else { return Ok(String::new()) };
                let text = self.text(&blob, || format!("what was sent or answered for #{}", entry.number))?;
                let Some(text) = text else { return Ok("lost".to_string()) };
                let room = MOST_EXCHANGES_BYTES.saturating_sub(self.exchanged).min(MOST_EXCHANGE_BYTES);
                let shown = sanitize::cut_bytes(&text, room);
                self.exchanged += shown.len();
                let rest = text.len() - shown.len();
                let more = format!("\n… {rest} more bytes: host show {}", blob.short());
                Ok::<_, StoreError>(if rest == 0 { text } else { format!("{shown}{more}") })
            };
            let (request, answer) = (read(exchange.request)?, read(exchange.response)?);
            entry.exchanges.push(ExchangeEntry { status: words(&exchange.status), request, answer });
        }
        Ok(())
    }

    fn steps(&mut self, path: &[u64], trials: &[TrialRecord]) -> Result<Vec<Step>, StoreError> {
        let mut steps = Vec::new();
        for number in path {
            let Some(record) = trials.iter().find(|record| record.trial.number == *number) else { continue };
            let sources = self.sources.get(&record.trial.parent).zip(self.sources.get(number));
            let changes = sources.map(|(before, after)| edits::lines(before, after));
            let scores = self.guest(&record.trial)?;
            steps.push(Step { number: *number, changes, scores });
        }
        Ok(steps)
    }

    /// The scores of a kept trial.
    fn guest(&mut self, trial: &Trial) -> Result<Guest, StoreError> {
        let runs = match trial.found.component_key {
            Some(component) => {
                let runs =
                    self.found(|| format!("runs of #{}", trial.number), self.store.experiments_of(&component))?;
                runs.unwrap_or_default()
            }
            None => Vec::new(),
        };
        let guest = self.scores(&runs)?;
        let search = possible(trial.found.bpb);
        Ok(Guest { search, seeds: trial.found.pairs.unwrap_or(1) as usize, ..guest })
    }

    fn champion(&mut self, step: &Step, trials: &[TrialRecord]) -> Result<Champion, StoreError> {
        let sources = self.sources.get(&0).zip(self.sources.get(&step.number));
        let changes = sources.map(|(seed, own)| edits::lines(seed, own)).unwrap_or_default();
        let record = trials.iter().find(|record| record.trial.number == step.number);
        let key = record.and_then(|record| record.trial.found.experiment);
        let run = match key {
            Some(key) => self.found(|| format!("run {}", key.short()), self.store.find_experiment(&key))?.flatten(),
            None => None,
        };
        let causality = run.and_then(|run| run.evaluation).map(|evaluation| evaluation.causality.name());
        Ok(Champion { number: step.number, guest: step.scores.clone(), changes, causality })
    }
}

/// A figure with as many digits as readers need: pages have thousands of them. None if no text can have it.
fn short(figure: Option<f64>) -> Option<f64> {
    possible(figure).map(|figure| (figure * 1e6).round() / 1e6)
}

fn entry_of(trial: &Trial) -> Entry {
    let found = &trial.found;
    Entry {
        number: trial.number,
        ending: found.verdict,
        proposer: words(&trial.proposer),
        parent: trial.parent,
        champion: trial.champion,
        operator: words(&trial.operator),
        change: words(&trial.description),
        hypothesis: words(&trial.hypothesis),
        reason: words(&found.reason),
        bpb: short(found.bpb),
        delta: short(found.delta),
        p_better: short(found.p_better),
        pairs: found.pairs,
        spread: short(found.spread),
        wall_s: trial.wall_ms.max(0) as f64 / 1e3,
        data_bytes: found.data_bytes,
        peak_bytes: found.peak_bytes,
        trained_share: short(found.trained_share),
        experiment: found.experiment.map(|key| key.short()),
        spend: Spend::default(),
        repairs: 0,
        again: Vec::new(),
        source: None,
        edits: None,
        curve: Vec::new(),
        held_out_nats: None,
        shares: Vec::new(),
        lines: Vec::new(),
        runs: Vec::new(),
        exchanges: Vec::new(),
    }
}

/// Harmless words of bounded length.
fn words(text: &str) -> String {
    sanitize::cut(&sanitize::printable(sanitize::cut_bytes(text, 4 * MOST_CHARS)), MOST_CHARS, "…")
}

fn curve(outcome: &Outcome) -> Vec<(u64, f64)> {
    let points = facts::curve(&outcome.curve, CURVE_POINTS).into_iter();
    points.map(|(step, loss)| (step, (loss * 1e4).round() / 1e4)).filter(|(_, loss)| loss.is_finite()).collect()
}

/// Mean loss on the search split in nats per token.
fn held_out_nats(outcome: &Outcome, context: u64) -> Option<f64> {
    let score = outcome.score.as_ref()?;
    let tokens = score.chunk_nats.len() as f64 * context as f64;
    let nats = score.chunk_nats.iter().sum::<f64>() / tokens;
    short(Some(nats))
}

/// What the trials of a context moved.
fn importance(trials: &[TrialRecord], picture: &Picture) -> Importance {
    let trials: Vec<&Trial> = trials.iter().map(|record| &record.trial).collect();
    let level = picture.last_level().zip(picture.baseline);
    let (level, noise) = level.map_or((f64::NAN, f64::NAN), |(level, baseline)| (level, baseline.noise));
    moved(&trials, level, noise)
}

fn search(store: &Store, night: i64, trials: &[&Trial], importance: Importance) -> Result<Search, StoreError> {
    let (mut tried, mut untried): (Vec<_>, Vec<_>) =
        know(trials, None).operators.into_iter().partition(|idea| idea.effect.tries > 0);
    for idea in tried.iter_mut().chain(&mut untried) {
        idea.operator = words(&idea.operator);
    }
    tried.sort_by(|a, b| {
        let rank = |delta: Option<f64>| delta.unwrap_or(f64::INFINITY);
        rank(a.effect.delta).total_cmp(&rank(b.effect.delta))
    });
    untried.sort_by_key(|idea| std::cmp::Reverse(idea.prior));
    let mut accounts = store.accounts(night)?;
    for account in &mut accounts {
        account.proposer = words(&account.proposer);
        account.failure = account.failure.take().map(|text| words(&text));
        account.stopped = account.stopped.take().map(|text| words(&text));
    }
    let repeats = trials.iter().filter(|trial| trial.found.verdict == Ending::Same).count() as u64;
    let trained: Vec<i64> =
        trials.iter().filter(|trial| trial.found.delta.is_some()).map(|trial| trial.wall_ms.max(0)).collect();
    let mean_s = trained.iter().map(|ms| *ms as f64 / 1e3).sum::<f64>() / trained.len().max(1) as f64;
    Ok(Search {
        tried,
        untried,
        importance,
        accounts,
        failures: failures(trials),
        near_misses: near_misses(trials),
        repeats,
        saved_s: mean_s * repeats as f64,
    })
}

/// Kinds of failure with their number.
fn failures(trials: &[&Trial]) -> Vec<(String, u64)> {
    let mut kinds = BTreeMap::<String, u64>::new();
    for trial in trials {
        if trial.found.verdict.is_failure() {
            *kinds.entry(kind(trial)).or_default() += 1;
        }
    }
    let mut kinds: Vec<(String, u64)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest: u64 = kinds.iter().skip(MOST_KINDS).map(|(_, count)| count).sum();
    kinds.truncate(MOST_KINDS);
    kinds.extend((rest > 0).then(|| ("others".to_string(), rest)));
    kinds
}

/// The kind of a failure: the name of a guest's fault, or how the reason begins.
fn kind(trial: &Trial) -> String {
    let reason = &trial.found.reason;
    match (trial.found.verdict, GuestFault::that_begins(reason).map(GuestFault::name)) {
        (Ending::HostFault, _) => "this machine".into(),
        (_, Some(name)) => name.into(),
        (_, None) => {
            let first = reason.split([':', '\n', ';']).next().unwrap_or_default();
            let digits = |c: char| if c.is_ascii_digit() { '#' } else { c };
            let kind: String = sanitize::line(first, 60).chars().map(digits).collect();
            if kind.is_empty() { "no reason recorded".into() } else { kind }
        }
    }
}

fn near_misses(trials: &[&Trial]) -> Vec<u64> {
    let is_near =
        |trial: &&&Trial| trial.found.verdict == Ending::Noise && trial.found.delta.is_some_and(|delta| delta < 0.0);
    let mut near: Vec<&Trial> = trials.iter().filter(is_near).copied().collect();
    let p = |trial: &Trial| trial.found.p_better.filter(|p| p.is_finite()).unwrap_or(0.0);
    near.sort_by(|a, b| p(b).total_cmp(&p(a)));
    near.iter().take(NEAR_MISSES).map(|trial| trial.number).collect()
}
