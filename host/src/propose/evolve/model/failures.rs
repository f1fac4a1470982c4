//! Which changes fail, and on which champion. A trial that fails does not say which of its changes was at fault: each
//! is blamed by how often it failed elsewhere.

use crate::propose::evolve::model::change::Change;
use crate::propose::evolve::model::run::{Result, Run};
use std::collections::BTreeMap;

/// Trials that the first belief about a change counts as, and how many of them fail.
const STRENGTH: f64 = 2.0;
const FAILS: f64 = 0.1;
/// Weight of a trial on another champion.
const ELSEWHERE: f64 = 0.5;
/// Rounds in which blame is shared out.
const ROUNDS: usize = 3;

/// What can fail: an edit, taking it back, or a constant that rises or falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause<'a> {
    Edit(&'a str),
    Without(&'a str),
    Step(&'a str, bool),
}

impl<'a> Cause<'a> {
    fn of(change: &'a Change) -> Self {
        match change {
            Change::Edit { made, .. } => Self::Edit(made),
            Change::Without { made } => Self::Without(made),
            Change::Step { name, from, to } => Self::Step(name, to > from),
        }
    }
}

/// Probabilities of failure.
#[derive(Clone, Debug, Default)]
pub struct Failures<'a>(BTreeMap<Cause<'a>, f64>);

impl<'a> Failures<'a> {
    /// `champion` is what the next trial will change.
    pub fn of(runs: &'a [Run], champion: u64) -> Self {
        let weight = |run: &Run| if run.champion == champion { 1.0 } else { ELSEWHERE };
        let mut found = Self::default();
        for _ in 0..ROUNDS {
            let mut counts: BTreeMap<Cause<'a>, (f64, f64)> = BTreeMap::new();
            for run in runs {
                let failed = run.result == Result::Failed;
                let rates: Vec<f64> = run.changes.iter().map(|change| found.of_change(change)).collect();
                let all: f64 = rates.iter().sum();
                for (change, rate) in run.changes.iter().zip(rates) {
                    let blame = if failed { rate / all } else { 0.0 };
                    let (trials, failures) = counts.entry(Cause::of(change)).or_insert((STRENGTH, STRENGTH * FAILS));
                    *trials += weight(run) * if failed { blame } else { 1.0 };
                    *failures += weight(run) * blame;
                }
            }
            found.0 = counts.into_iter().map(|(cause, (trials, failures))| (cause, failures / trials)).collect();
        }
        found
    }

    /// The probability that a change fails.
    pub fn of_change(&self, change: &Change) -> f64 {
        self.0.get(&Cause::of(change)).copied().unwrap_or(FAILS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::evolve::model::run::Measured;
    use crate::record::trial::ChangeKind;

    fn run(champion: u64, edits: &[&str], fails: bool) -> Run {
        let measured = Measured { gain: 0.0, pairs: 1, spread: None, kind: ChangeKind::Structure, kept: false };
        let result = if fails { Result::Failed } else { Result::Measured(measured) };
        Run { champion, changes: edits.iter().map(|edit| made(edit)).collect(), result }
    }

    fn made(edit: &str) -> Change {
        Change::Edit { made: edit.into(), instead_of: None }
    }

    #[test]
    fn blame_falls_on_what_fails_elsewhere() {
        let runs = [run(0, &["a", "b"], true), run(0, &["a"], false), run(0, &["a"], false), run(0, &["b", "c"], true)];
        let failures = Failures::of(&runs, 0);
        let [a, b, c, new] = ["a", "b", "c", "d"].map(|edit| failures.of_change(&made(edit)));
        assert!(b > 2.0 * c && c > a && a < new, "{a} {b} {c} {new}");
    }

    #[test]
    fn a_failure_counts_more_on_the_champion_that_it_met() {
        let runs = [run(3, &["a"], true), run(3, &["a"], true)];
        let here = Failures::of(&runs, 3).of_change(&made("a"));
        let elsewhere = Failures::of(&runs, 4).of_change(&made("a"));
        assert!(here > elsewhere && elsewhere > FAILS, "{here} {elsewhere}");
    }
}
