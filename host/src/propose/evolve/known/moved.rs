//! Which constants and switches moved the score, as the model of the search believes. It looks back here: a gain is the
//! sum of the effects of its changes, however large. Pure.

use crate::propose::evolve::known::know::{counted, is_telling, touched};
use crate::propose::evolve::model::belief::Belief;
use crate::propose::evolve::model::change::{Change, literals};
use crate::propose::evolve::model::moves::{Move, Place};
use crate::propose::evolve::model::parts::Parts;
use crate::propose::evolve::model::run::{Measured, Result as Found, Run};
use crate::propose::evolve::proposer::run;
use crate::record::trial::Trial;
use crate::system::sanitize;
use std::collections::{BTreeMap, BTreeSet};

/// Most constants and switches of one fit, whose cost grows with the cube of it. Older trials are left out beyond.
const MOST: usize = 200;
/// Longest name of a change in characters.
const CHANGE_CHARS: usize = 120;
/// Prior of a change that was measured: the model asks for one.
const PRIOR: u8 = 1;

/// What the trials say about all that they moved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Importance {
    /// The surest effect first.
    pub moved: Vec<Moved>,
    /// Trials by which this is believed, and measured trials that are left out since there were too many changes.
    pub trials: usize,
    pub left_out: usize,
}

/// A constant or a switch.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// `LR 0.02 → 0.03`: from the value that it had last to another one that was tried. Or a switch: `softcap: off`.
    /// Escaped, and on one line.
    pub change: String,
    /// Measured trials that moved it, alone or with others.
    pub trials: usize,
    /// Its effect in bits per byte. Negative is better.
    pub delta: f64,
    /// Standard deviation of this belief.
    pub error: f64,
}

impl Moved {
    /// How many standard deviations the effect is away from none.
    pub fn sureness(&self) -> f64 {
        self.delta.abs() / self.error
    }
}

/// The values of a constant that trials had: where each is on its scale, and how it was written.
struct Values<'a> {
    last: (f64, &'a str),
    lowest: (f64, &'a str),
    highest: (f64, &'a str),
}

/// What the trials of a context moved, oldest first. `level` is the champion's score, `noise` the standard deviation of
/// a score between random seeds. Nothing is believed without both.
pub fn moved(trials: &[&Trial], level: f64, noise: f64) -> Importance {
    let is_measured = |run: &Run| matches!(run.result, Found::Measured(_)) && is_telling(run);
    let all = trials.iter().filter_map(|trial| Some((*trial, run(trial, &[])?)));
    let all: Vec<(&Trial, Run)> = all.filter(|(_, run)| is_measured(run) && !run.changes.is_empty()).collect();
    if !(level.is_finite() && noise.is_finite() && noise > 0.0) {
        return Importance { left_out: all.len(), ..Importance::default() };
    }
    let left_out = all.len() - newest(&all);
    let (taught, runs): (Vec<&Trial>, Vec<Run>) = all.into_iter().skip(left_out).unzip();
    let moves = moves(&taught, &runs);
    let champion = trials.iter().rfind(|trial| trial.is_kept()).map_or(0, |trial| trial.number);
    let changes: Vec<Move> = moves.iter().map(|(_, one)| one.clone()).collect();
    let place = Place { champion, level, noise, moves: &changes };
    let belief = Belief::new(&runs, &place, Parts { misfit: false, ..Parts::ALL }, 1.0);
    let counts = counted(&runs);
    let mut best: BTreeMap<&str, Moved> = BTreeMap::new();
    for ((words, one), (gain, error)) in moves.iter().zip(belief.expected().into_iter().zip(belief.spread())) {
        // What stood at its place first has no effect of its own.
        let (Some(what), true) = (one.changes.first().map(touched), gain.is_finite() && error > 0.0) else { continue };
        let trials = counts.get(what).copied().unwrap_or(0);
        let moved = Moved { change: sanitize::line(words, CHANGE_CHARS), trials, delta: -gain, error };
        if best.get(what).is_none_or(|other| moved.sureness() > other.sureness()) {
            best.insert(what, moved);
        }
    }
    let mut moved: Vec<Moved> = best.into_values().collect();
    moved.sort_by(|a, b| b.sureness().total_cmp(&a.sureness()).then_with(|| a.change.cmp(&b.change)));
    Importance { moved, trials: runs.len(), left_out }
}

/// How many of the newest trials have few enough changes together.
fn newest(all: &[(&Trial, Run)]) -> usize {
    let mut seen = BTreeSet::new();
    let fits = |(_, run): &&(&Trial, Run)| {
        seen.extend(run.changes.iter().map(|change| touched(change).to_owned()));
        seen.len() <= MOST
    };
    all.iter().rev().take_while(fits).count()
}

/// Each switch that trials have set, and for each constant the ways from its last value to the lowest and the highest,
/// in words and as moves.
fn moves(trials: &[&Trial], runs: &[Run]) -> Vec<(String, Move)> {
    let mut values: BTreeMap<&str, Values> = BTreeMap::new();
    let mut switches: BTreeSet<&str> = BTreeSet::new();
    for (trial, run) in trials.iter().zip(runs) {
        let kept = matches!(run.result, Found::Measured(Measured { kept: true, .. }));
        let written = literals(&trial.description);
        for change in &run.changes {
            match change {
                Change::Edit { made, .. } | Change::Without { made } => _ = switches.insert(made),
                Change::Step { name, from, to } => {
                    let Some(one) = written.iter().find(|one| one.name == name && one.coordinates == [*from, *to])
                    else {
                        continue;
                    };
                    let (from, to) = ((*from, one.from), (*to, one.to));
                    let found = values.entry(name).or_insert(Values { last: from, lowest: from, highest: from });
                    found.last = if kept { to } else { from };
                    for value in [from, to] {
                        if value.0 < found.lowest.0 {
                            found.lowest = value;
                        }
                        if value.0 > found.highest.0 {
                            found.highest = value;
                        }
                    }
                }
            }
        }
    }
    let one = |change| Move { changes: vec![change], prior: PRIOR };
    let switches = switches.into_iter().map(|made| {
        let change = Change::Edit { made: made.into(), instead_of: None };
        (made.to_owned(), one(change))
    });
    let steps = values.into_iter().flat_map(|(name, Values { last, lowest, highest })| {
        let others = [lowest, highest].into_iter().filter(move |value| value.0 != last.0);
        others.map(move |(to, literal)| {
            let change = Change::Step { name: name.into(), from: last.0, to };
            (format!("{name} {} → {literal}", last.1), one(change))
        })
    });
    switches.chain(steps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::evolve::known::tests::trial;
    use crate::record::ending::Ending;

    fn of(trials: &[Trial]) -> Importance {
        moved(&trials.iter().collect::<Vec<_>>(), 2.3, 0.008)
    }

    fn changes(found: &Importance) -> Vec<&str> {
        found.moved.iter().map(|one| one.change.as_str()).collect()
    }

    /// A night in which a rate and a switch do much, and another constant does nothing.
    fn night() -> Vec<Trial> {
        let one = |number: u64| {
            let champion = if number > 1 { 1 } else { 0 };
            let (words, verdict, delta) = match number {
                1 => ("LR 0.02 → 0.04".to_owned(), Ending::Keep, -0.05),
                n if n % 3 == 0 => (format!("softcap in model: off; WIDTH 64 → {}", 64 + n), Ending::Discard, 0.03),
                n if n % 3 == 1 => ("LR 0.04 → 0.02".to_owned(), Ending::Discard, 0.05),
                n => (format!("WIDTH 64 → {}", 64 - n), Ending::Noise, 0.0),
            };
            Trial { parent: champion, champion, ..trial(number, "bundle", &words, verdict, Some(delta)) }
        };
        (1..=18).map(one).collect()
    }

    #[test]
    fn what_moved_the_score_comes_first() {
        let found = of(&night());
        assert_eq!((found.trials, found.left_out, found.moved.len()), (18, 0, 3), "{found:?}");
        let [rate, switch, width] = &found.moved[..] else { panic!("{found:?}") };
        // From its last value to the other one that was tried.
        assert_eq!((rate.change.as_str(), rate.trials), ("LR 0.04 → 0.02", 6), "{found:?}");
        assert!((rate.delta - 0.05).abs() < 0.01 && rate.error < 0.01, "{rate:?}");
        assert_eq!((switch.change.as_str(), switch.trials), ("softcap in model: off", 6), "{found:?}");
        assert!((switch.delta - 0.03).abs() < 0.01 && switch.sureness() > 1.645, "{switch:?}");
        assert!(width.change.starts_with("WIDTH 64 → ") && width.trials == 12, "{width:?}");
        assert!(width.sureness() < 1.645, "{width:?}");
    }

    #[test]
    fn nothing_is_believed_without_trials_or_a_level() {
        assert_eq!(of(&[]), Importance::default());
        let failed = [trial(1, "constant", "LR 1 → 2", Ending::Failed, None)];
        assert_eq!(of(&failed), Importance::default());
        for (level, noise) in [(f64::NAN, 0.1), (2.0, f64::INFINITY), (2.0, 0.0)] {
            let found = moved(&night().iter().collect::<Vec<_>>(), level, noise);
            assert_eq!((found.moved.len(), found.left_out), (0, 18));
        }
    }

    /// What somebody else changed in the text hides what the constant in the same trial did.
    #[test]
    fn texts_of_others_are_left_out() {
        let mut of_other = trial(1, "llm", "LR 1 → 2; another head", Ending::Discard, Some(0.1));
        of_other.proposer = "llm.x".into();
        assert_eq!(of(std::slice::from_ref(&of_other)), Importance::default());
        of_other.description = "LR 1 → 2".into();
        assert_eq!(changes(&of(&[of_other])), ["LR 1 → 2"]);
    }

    #[test]
    fn odd_trials_give_finite_figures() {
        let words =
            ["LR 1e-300 → 1e300", "LR 1 → 1", "LR 1 → 2, LR 2 → 1", "part 1 of #7: LR 1 → 2", "\u{202e}<b>: x → y", ""];
        for delta in [0.0, 1e300, -1e300, f64::NAN, f64::INFINITY] {
            let trials: Vec<Trial> = words
                .iter()
                .enumerate()
                .map(|(at, words)| trial(at as u64 + 1, "x", words, Ending::Discard, Some(delta)))
                .map(|trial| Trial { parent: 0, champion: 0, ..trial })
                .collect();
            for one in of(&trials).moved {
                assert!(one.delta.is_finite() && one.error.is_finite() && !one.change.contains('\u{202e}'), "{one:?}");
            }
        }
    }

    #[test]
    fn of_too_many_changes_the_oldest_are_left_out() {
        let one = |number| trial(number, "x", &format!("switch {number}: on"), Ending::Discard, Some(0.01));
        let trials: Vec<Trial> = (1..=MOST as u64 + 50).map(one).collect();
        let taught: Vec<(&Trial, Run)> = trials.iter().filter_map(|trial| Some((trial, run(trial, &[])?))).collect();
        assert_eq!((taught.len(), newest(&taught), newest(&taught[..30])), (MOST + 50, MOST, 30));
    }
}
