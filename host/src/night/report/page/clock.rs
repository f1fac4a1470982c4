//! When the training runs of a night ran, on its clock: from the store to spans of time. Pure, but for the store.

use crate::night::report::picture;
use crate::record::ending::Ending;
use crate::record::key::ExperimentKey;
use crate::record::store::{ExperimentRecord, NightRecord, RunTime, Store, StoreError};
use crate::record::trial::Trial;
use std::collections::{BTreeMap, BTreeSet};

/// The training runs of a night.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clock {
    /// In the order of their trials.
    pub spans: Vec<Span>,
    /// Runs that trials of the night rest on, and that were made before it.
    pub earlier: usize,
}

/// A training run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The trial that it was made for; 0 is the baseline.
    pub trial: u64,
    /// How the trial ended. None for a run of what a trial was compared with.
    pub ending: Option<Ending>,
    /// Seconds since the night began.
    pub begin_s: f64,
    pub end_s: f64,
}

impl Clock {
    /// `baseline` are the runs of the seed guest, `own` the trials of the night.
    pub fn of(
        store: &Store,
        night: &NightRecord,
        baseline: &[ExperimentRecord],
        own: &[&Trial],
    ) -> Result<Self, StoreError> {
        let of_baseline = baseline.iter().map(|run| RunTime {
            trial: 0,
            key: run.key,
            finished_unix_ms: run.finished_unix_ms,
            wall_ms: run.wall_ms,
            is_own: false,
        });
        let times: Vec<RunTime> = of_baseline.chain(store.times_of_night(night.id)?).collect();
        let endings = own.iter().map(|trial| (trial.number, trial.found.verdict)).collect();
        Ok(Self::from_times(picture::began_ms(night, baseline), &times, &endings))
    }

    fn from_times(began_ms: i64, times: &[RunTime], endings: &BTreeMap<u64, Ending>) -> Self {
        // A run belongs to the trial that it trained, or else to the first one that it was compared with.
        let owned: BTreeSet<ExperimentKey> = times.iter().filter(|time| time.is_own).map(|time| time.key).collect();
        let (mut seen, mut clock) = (BTreeSet::new(), Self::default());
        for time in times {
            if (!time.is_own && owned.contains(&time.key)) || !seen.insert(time.key) {
                continue;
            }
            if time.finished_unix_ms <= began_ms {
                clock.earlier += 1;
                continue;
            }
            let begin_ms = time.finished_unix_ms.saturating_sub(time.wall_ms.max(0)).max(began_ms);
            let seconds = |unix_ms: i64| unix_ms.saturating_sub(began_ms) as f64 / 1e3;
            let ending = endings.get(&time.trial).copied().filter(|_| time.is_own);
            let (begin_s, end_s) = (seconds(begin_ms), seconds(time.finished_unix_ms));
            clock.spans.push(Span { trial: time.trial, ending, begin_s, end_s });
        }
        clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(trial: u64, key: &str, finished_unix_ms: i64, wall_ms: i64, is_own: bool) -> RunTime {
        RunTime { trial, key: ExperimentKey::of(key.as_bytes()), finished_unix_ms, wall_ms, is_own }
    }

    #[test]
    fn a_run_is_shown_once_at_the_trial_that_it_trained() {
        let times = [
            time(0, "seed", 1_900, 900, false),
            time(1, "seed", 1_900, 900, false),
            time(1, "a", 4_000, 2_000, true),
            time(2, "a", 4_000, 2_000, false),
            time(2, "old", 900, 500, false),
            // It runs again what trial 3 trains later.
            time(2, "b", 9_000, 1_000, false),
            time(3, "b", 9_000, 1_000, true),
        ];
        let endings = BTreeMap::from([(1, Ending::Keep), (2, Ending::Noise), (3, Ending::Failed)]);
        let clock = Clock::from_times(1_000, &times, &endings);
        let span = |trial, ending, begin_s, end_s| Span { trial, ending, begin_s, end_s };
        let wanted =
            [span(0, None, 0.0, 0.9), span(1, Some(Ending::Keep), 1.0, 3.0), span(3, Some(Ending::Failed), 7.0, 8.0)];
        assert_eq!((clock.spans.as_slice(), clock.earlier), (&wanted[..], 1));
    }

    #[test]
    fn odd_clocks_give_spans_that_begin_before_they_end() {
        let odd = [i64::MIN, -1, 0, 1, 5_000, i64::MAX];
        for (began, wall) in odd.into_iter().flat_map(|began| odd.map(|wall| (began, wall))) {
            let times: Vec<RunTime> = odd.iter().map(|at| time(1, &at.to_string(), *at, wall, true)).collect();
            let clock = Clock::from_times(began, &times, &BTreeMap::new());
            assert_eq!(clock.spans.len() + clock.earlier, odd.len());
            assert!(clock.spans.iter().all(|span| 0.0 <= span.begin_s && span.begin_s <= span.end_s), "{clock:?}");
        }
    }
}
