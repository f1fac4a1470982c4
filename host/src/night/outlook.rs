//! What a night will do, take and cost, before it begins. Nothing is trained and nothing is written into the store.

use crate::experiment::calibrate::calibrate;
use crate::night::bounds::Bounds;
use crate::night::event::Event;
use crate::night::run::SAME_NIGHT_MS;
use crate::night::setup::{OpenError, Power, bench_beside, proposers};
use crate::policy::Policy;
use crate::propose::llm::ModelConfig;
use crate::record::key::ProfileHash;
use crate::record::store::{NightUsed, Store};
use crate::system::clock::unix_ms;
use crate::system::scratch::Scratch;
use rustix::fs::statvfs;
use serde::Serialize;
use std::path::Path;

/// Training runs of a mutation where no trial has shown how many: most take one or two, a promising one up to 16.
const RUNS_PER_TRIAL: f64 = 2.0;
/// Bytes that a run leaves beside its weights: its outcome with curve and chain, its rows. Of 151 runs: 23 kB each.
const RUN_BYTES: f64 = 25_000.0;
/// Bytes that a mutation leaves: its component, which can tell the lines of its source. Of 40 mutations: 2.4 MB each.
const MUTATION_BYTES: f64 = 2_400_000.0;
/// Share of a run that scoring takes beside training, where no run has shown it.
const SCORING: f64 = 1.2;

/// How the pace of this machine is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum Pace {
    /// The median of so many runs here, by the same profile.
    Runs { runs: usize },
    /// Single operations were timed now: the speed of this machine as a multiple of the profile's.
    Calibration { speed: f64 },
}

/// What is expected of a night. Counts are estimates, but for those that are bounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// The proposers that can work here, and why others cannot.
    pub proposers: Vec<String>,
    pub left_out: Vec<String>,
    /// The night of the store that would go on, with the mutations that it has trained and the hours that it has used.
    pub goes_on: Option<(i64, u64, f64)>,
    /// Trials of earlier nights on the same terms, from which this one would learn.
    pub earlier_trials: usize,
    pub pace: Pace,
    pub seconds_per_run: f64,
    pub runs_per_hour: f64,
    /// Hours until the night ends, at most; none if nothing bounds it.
    pub hours: Option<f64>,
    /// Training runs until then, and the mutations that they are enough for.
    pub runs: Option<f64>,
    pub mutations: Option<f64>,
    /// Bytes of weights at most, and of components and records.
    pub weight_bytes: u64,
    pub record_bytes: Option<f64>,
    pub free_bytes: Option<u64>,
    /// The most that proposers can cost in US dollars; none if nothing bounds it.
    pub dollars: Option<f64>,
}

/// Looks at a night on the store in `dir`, which need not exist and is only read.
///
/// # Errors
/// The store or the policy cannot be read, the seed guest does not compile, or this machine cannot be measured.
pub fn outlook(
    policy: &Policy,
    dir: &Path,
    power: Power,
    typed: Bounds,
    tell: &mut dyn FnMut(Event),
) -> Result<Outlook, OpenError> {
    let store = if Store::exists(dir)? { Some(Store::open_to_read(dir)?) } else { None };
    let store = store.as_ref();
    let scratch = Scratch::new().map_err(|error| OpenError::Scratch(error.to_string()))?;
    let (bench, seed_guest) = bench_beside(store, scratch.path(), policy, power, tell)?;
    let writers = proposers(policy, &bench.store)?;
    let context = bench.context_key(&seed_guest.component);
    let open = |store: &Store| -> Result<Option<(i64, NightUsed)>, OpenError> {
        let night = store.open_night(&policy.canonical()?, &context, unix_ms() - SAME_NIGHT_MS)?;
        night.map(|night| Ok((night, store.night_used(night)?))).transpose()
    };
    let goes_on = store.map(open).transpose()?.flatten();
    let used = goes_on.map(|(_, used)| used).unwrap_or_default();
    let trials = store.map(|store| store.trials_in(&context)).transpose()?.unwrap_or_default();
    let mut paces =
        store.map(|store| store.paces(&ProfileHash::new(&bench.spec.profile))).transpose()?.unwrap_or_default();
    paces.sort_by(f64::total_cmp);
    let (pace, factor) = match paces.get(paces.len() / 2) {
        Some(pace) => (Pace::Runs { runs: paces.len() }, *pace),
        None => {
            let measured = calibrate(&bench.sandbox, &bench.spec.profile, bench.spec.threads, u64::MAX);
            let speed = measured.map_err(OpenError::Calibration)?.speed;
            (Pace::Calibration { speed }, SCORING / speed.max(1e-3))
        }
    };
    let seconds_per_run = policy.budget.seconds * factor;
    let runs_per_hour = 3600.0 / seconds_per_run.max(1e-3);
    let bounds = typed.or(Bounds::rest_of(&policy.search, &used));
    let scored: Vec<f64> = trials.iter().filter_map(|record| record.trial.found.pairs.map(f64::from)).collect();
    let per_trial = match scored.len() {
        0 => RUNS_PER_TRIAL,
        count => scored.iter().sum::<f64>() / count as f64,
    };
    let baseline = if trials.is_empty() { f64::from(policy.selection.replicas) } else { 0.0 };
    let of_hours = bounds.hours.map(|hours| hours.max(0.0) * runs_per_hour);
    let of_count = bounds.experiments.map(|count| count as f64 * per_trial + baseline);
    let runs = match (of_hours, of_count) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let mutations = runs.map(|runs| ((runs - baseline) / per_trial).max(0.0));
    Ok(Outlook {
        proposers: writers.fit.iter().map(|proposer| proposer.name().to_owned()).collect(),
        left_out: writers.unfit.iter().map(ToString::to_string).collect(),
        goes_on: goes_on.map(|(night, used)| (night, used.trained, used.wall_ms as f64 / 3.6e6)),
        earlier_trials: trials.iter().filter(|record| record.trial.number > 0).count(),
        pace,
        seconds_per_run,
        runs_per_hour,
        hours: runs.map(|runs| runs / runs_per_hour).or(bounds.hours),
        runs,
        mutations,
        weight_bytes: policy.store.quota_bytes(),
        record_bytes: runs.zip(mutations).map(|(runs, mutations)| runs * RUN_BYTES + mutations * MUTATION_BYTES),
        free_bytes: free_bytes(dir),
        dollars: dollars(policy, &writers.fit.iter().map(|proposer| proposer.name()).collect::<Vec<_>>()),
    })
}

/// The most that a night of these proposers can cost: its cap, and nothing where none may cost.
fn dollars(policy: &Policy, proposers: &[&str]) -> Option<f64> {
    let named = |name: &&str| name.strip_prefix("llm.").and_then(|name| policy.llm.get(name));
    let costs = |model: &ModelConfig| model.usd_per_million_input > 0.0 || model.usd_per_million_output > 0.0;
    let models = proposers.iter().filter_map(named).any(costs);
    let programs = proposers.iter().any(|name| name.starts_with("command."));
    if models || programs { policy.caps.dollars } else { Some(0.0) }
}

/// Free space where a folder is, or would be.
fn free_bytes(dir: &Path) -> Option<u64> {
    let there = std::path::absolute(dir).ok()?;
    let there = there.ancestors().find(|folder| folder.is_dir())?;
    let disk = statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
