//! A night as trackers of experiments see it: a project with a run for each training run, and one of the whole night.
//!
//! Names that a guest chose for its curves begin with `curve/`, so that none of them is a name of ours.

use crate::night::export::past::{Past, Run};
use crate::record::outcome::Status;
use crate::record::trial::Trial;
use crate::system::sanitize::one_line;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What was measured at a step, by name.
type Row = BTreeMap<String, f64>;

/// A run of a project.
pub struct Tracked {
    /// Differs from those of all other runs. Letters, digits and hyphens.
    pub id: String,
    pub name: String,
    pub group: String,
    /// What it was for.
    pub role: String,
    /// What was tried, in one line.
    pub notes: String,
    pub config: Value,
    pub began_ms: u64,
    pub ended_ms: u64,
    pub completed: bool,
    /// By step. At least one.
    pub rows: BTreeMap<i64, Row>,
}

/// The name of the project.
pub fn project(past: &Past) -> String {
    format!("night-{}", past.night.id)
}

/// The whole night, then its runs. Each is made when it is asked for: a long night has millions of points.
pub fn tracked(past: &Past) -> impl Iterator<Item = Tracked> {
    let trials: BTreeMap<u64, &Trial> = past.trials.iter().map(|trial| (trial.number, trial)).collect();
    let runs = past.runs.iter().map(move |run| training(run, trials.get(&run.trial).copied()));
    std::iter::once(night(past)).chain(runs)
}

/// By number of the trial: its score, and the champion's after it.
fn night(past: &Past) -> Tracked {
    let mut rows = BTreeMap::from([(0, Row::from([("trials".into(), 0.0)]))]);
    let mut kept = 0_u32;
    for (trials, trial) in (1_u32..).zip(&past.trials) {
        let mut row = Row::from([("trials".into(), f64::from(trials))]);
        if let Some(bpb) = trial.found.bpb {
            row.insert("trial bits per byte".into(), bpb);
            if trial.is_kept() {
                row.insert("champion bits per byte".into(), bpb);
            }
        }
        kept = kept.saturating_add(u32::from(trial.is_kept()));
        row.insert("keeps".into(), f64::from(kept));
        rows.insert(step(trial.number), row);
    }
    let record = &past.night;
    let last = past.trials.iter().map(|trial| trial.unix_ms).max();
    let ended = record.ended_unix_ms.or(last).unwrap_or(record.started_unix_ms);
    let config = json!({
        "night": record.id,
        "policy": one_line(&record.policy_name),
        "task": record.task.to_string(),
        "context": record.context.to_string(),
    });
    Tracked {
        id: format!("night-{}-{}", record.id, record.context.short()),
        name: project(past),
        group: "night".into(),
        role: "night".into(),
        notes: String::new(),
        config,
        began_ms: since_1970(record.started_unix_ms),
        ended_ms: since_1970(ended.max(record.started_unix_ms)),
        completed: record.ended_unix_ms.is_some(),
        rows,
    }
}

fn training(run: &Run, trial: Option<&Trial>) -> Tracked {
    let Run { trial: number, role, record, outcome } = run;
    let manifest = &record.manifest;
    let key = record.key.to_string();
    // Runs of the champion belong to the trial that it is compared with.
    let is_other = |trial: &Trial| trial.found.component_key.is_some_and(|component| component != manifest.component);
    let (trial, role) = match trial {
        Some(trial) if is_other(trial) => (None, "comparison".into()),
        trial => (trial, one_line(role)),
    };
    let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
    for point in &outcome.curve {
        rows.entry(step(point.step)).or_default().insert(format!("curve/{}", one_line(&point.key)), point.value);
    }
    let last = rows.entry(step(outcome.totals.steps)).or_default();
    last.insert("tokens".into(), outcome.totals.tokens as f64);
    if let Some(score) = &outcome.score {
        last.insert("held-out bits per byte".into(), score.bpb);
    }
    let mut config = json!({
        "trial": number,
        "role": role,
        // As text: a tracker reads numbers as floats, which have no room for it.
        "random_seed": manifest.random_seed.to_string(),
        "experiment": key,
        "component": manifest.component.to_string(),
        "task": manifest.task.to_string(),
        "budget_seconds": manifest.budget_ps as f64 / 1e12,
        "numerics": one_line(&manifest.numerics),
        "status": outcome.status.name(),
        "steps": outcome.totals.steps,
        "flops": outcome.totals.flops as f64,
        "parameters": outcome.totals.parameters,
    });
    if let (Some(trial), Some(config)) = (trial, config.as_object_mut()) {
        config.insert("verdict".into(), trial.found.verdict.name().into());
        config.insert("parent".into(), trial.parent.into());
        for (name, text) in [
            ("proposer", &trial.proposer),
            ("operator", &trial.operator),
            ("description", &trial.description),
            ("hypothesis", &trial.hypothesis),
        ] {
            config.insert(name.into(), one_line(text).into());
        }
    }
    Tracked {
        id: key.chars().take(24).collect(),
        name: run.name(),
        group: format!("trial-{number:04}"),
        role,
        notes: trial.map(|trial| one_line(&trial.description)).unwrap_or_default(),
        config,
        began_ms: since_1970(record.finished_unix_ms.saturating_sub(record.wall_ms)),
        ended_ms: since_1970(record.finished_unix_ms),
        completed: outcome.status == Status::Completed,
        rows,
    }
}

/// What trackers write for what JSON has no number for.
pub fn word(value: f64) -> Option<&'static str> {
    match value {
        value if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

/// A step as trackers hold it.
fn step(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

/// The last time that has four digits of a year: trackers read no later one.
const LATEST_MS: u64 = 253_402_300_799_999;

/// A clock that stood before 1970 counts from there.
fn since_1970(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms).unwrap_or(0).min(LATEST_MS)
}

/// Year, month and day, then hour, minute and second (UTC).
pub fn date(unix_ms: u64) -> ([u64; 3], [u64; 3]) {
    let seconds = unix_ms / 1000;
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    ([year, month, days + 1], [second / 3600, second / 60 % 60, second % 60])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), ([1970, 1, 1], [0, 0, 0]));
        assert_eq!(date(951_827_696_789), ([2000, 2, 29], [12, 34, 56]));
        assert_eq!(date(4_107_542_400_000), ([2100, 3, 1], [0, 0, 0]));
        assert_eq!(date(LATEST_MS), ([9999, 12, 31], [23, 59, 59]));
    }
}
