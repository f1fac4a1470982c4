//! What to try next: a draw from the posterior says which changes may gain (Thompson sampling), and many more draws say
//! how many of them to try together.

use crate::propose::evolve::model::belief::Belief;
use crate::propose::evolve::model::change::Change;
use crate::propose::evolve::model::moves::Place;
use crate::propose::evolve::model::parts::Parts;
use crate::propose::evolve::model::run::{Result, Run};
use crate::propose::evolve::random::Random;

/// Changes of one bundle at most.
const MOST_CHANGES: usize = 12;
/// Edits of one bundle at most that no trial has had: the more are new, the less a failure or a loss says.
const MOST_NEW_EDITS: usize = 3;
/// Draws by which bundles are compared.
const DRAWS: usize = 64;
/// After this number of trials without a keep the search is twice as wide.
const PATIENCE: f64 = 40.0;
/// One proposal in this many combines near-misses.
const NEAR_MISS_EVERY: u64 = 4;
/// A near-miss gains with this probability or more.
const SURE: f64 = 0.6;

/// Changes to be tried together, as indices of moves.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    pub moves: Vec<usize>,
    pub are_near_misses: bool,
}

/// Chooses among the moves of one moment.
pub struct Chooser<'a> {
    belief: Belief<'a>,
    place: &'a Place<'a>,
    parts: Parts,
    /// By move: what it touches.
    touches: Vec<Vec<&'a str>>,
    /// By move: whether its steps are short enough.
    near: Vec<bool>,
    draws: Vec<Vec<f64>>,
}

impl<'a> Chooser<'a> {
    pub fn new(runs: &'a [Run], place: &'a Place<'a>, parts: Parts, random: &mut Random) -> Self {
        let width = if parts.widening { width(runs) } else { 1.0 };
        let belief = Belief::new(runs, place, parts, width);
        let near = place.moves.iter().map(|m| m.is_near(width)).collect();
        let touches = place.moves.iter().map(|m| m.touches().collect()).collect();
        let draws = (0..DRAWS).map(|_| belief.draw(random)).collect();
        Self { belief, place, parts, touches, near, draws }
    }

    /// A bundle for which the hope is high; empty if nothing is expected to gain.
    pub fn draw(&self, random: &mut Random) -> Bundle {
        let drawn = self.belief.draw(random);
        let order = self.best_first(|at| drawn.get(at).copied().unwrap_or(0.0) * self.belief.works(at));
        let moves = match self.parts.bundles {
            true => self.bundle(order),
            false => order.first().copied().into_iter().collect(),
        };
        Bundle { moves, are_near_misses: false }
    }

    /// The moves that gain by a value, those that gain most first.
    fn best_first(&self, value: impl Fn(usize) -> f64) -> Vec<usize> {
        let is_near = |at: &usize| self.near.get(*at) == Some(&true);
        let mut order: Vec<usize> = (0..self.place.moves.len()).filter(is_near).filter(|at| value(*at) > 0.0).collect();
        order.sort_by(|a, b| value(*b).total_cmp(&value(*a)));
        order
    }

    /// Adds moves in this order, and takes the beginning of it that may bring most.
    fn bundle(&self, order: Vec<usize>) -> Vec<usize> {
        let mut taken: Vec<usize> = Vec::new();
        let mut sums = vec![0.0; self.draws.len()];
        let (mut best, mut best_length, mut works) = (0.0, 0, 1.0);
        let mut new_edits = 0;
        for at in order {
            if taken.len() >= MOST_CHANGES {
                break;
            }
            let is_new = self.is_new_edit(at);
            if self.clashes(&taken, at) || (is_new && new_edits >= MOST_NEW_EDITS) {
                continue;
            }
            new_edits += usize::from(is_new);
            sums.iter_mut().zip(&self.draws).for_each(|(sum, draw)| *sum += draw.get(at).copied().unwrap_or(0.0));
            works *= self.belief.works(at);
            taken.push(at);
            let hoped = sums.iter().map(|sum| sum.max(0.0)).sum::<f64>() * works;
            if hoped > best || taken.len() == 1 {
                (best, best_length) = (hoped, taken.len());
            }
        }
        taken.truncate(best_length);
        taken
    }

    /// For some of the trials: all that was tried, probably gains and is not in the champion.
    pub fn near_misses(&self, trial: u64) -> Option<Bundle> {
        if !(self.parts.near_misses && self.parts.bundles && trial.is_multiple_of(NEAR_MISS_EVERY)) {
            return None;
        }
        let expected = self.belief.expected();
        let order = self.best_first(|at| expected.get(at).copied().unwrap_or(0.0) * self.belief.works(at));
        let mut moves: Vec<usize> = Vec::new();
        for at in order.into_iter().filter(|at| self.belief.tried.get(*at) == Some(&true)) {
            let wins = self.draws.iter().filter(|draw| draw.get(at).is_some_and(|gain| *gain > 0.0)).count();
            if wins as f64 >= SURE * self.draws.len() as f64 && moves.len() < MOST_CHANGES && !self.clashes(&moves, at)
            {
                moves.push(at);
            }
        }
        (moves.len() > 1).then_some(Bundle { moves, are_near_misses: true })
    }

    fn is_new_edit(&self, at: usize) -> bool {
        let is_edit = |change: &Change| matches!(change, Change::Edit { .. } | Change::Without { .. });
        let edits = self.place.moves.get(at).is_some_and(|one| one.changes.iter().any(is_edit));
        edits && self.belief.tried.get(at) != Some(&true)
    }

    fn clashes(&self, taken: &[usize], at: usize) -> bool {
        let of = |at: usize| self.touches.get(at).map_or(&[][..], Vec::as_slice);
        taken.iter().any(|other| of(*other).iter().any(|touched| of(at).contains(touched)))
    }
}

/// 1 after a keep, and more the longer none came.
fn width(runs: &[Run]) -> f64 {
    let is_keep = |run: &&Run| matches!(run.result, Result::Measured(m) if m.kept);
    let since = runs.iter().rev().take_while(|run| !is_keep(run)).count();
    (1.0 + since as f64 / PATIENCE).min(3.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::evolve::model::moves::Move;
    use crate::propose::evolve::model::run::Measured;
    use crate::record::trial::ChangeKind;

    fn edit(name: &str) -> Change {
        Change::Edit { made: name.into(), instead_of: None }
    }

    /// Edits `a` to `f`, and short and long steps of a constant.
    fn moves() -> Vec<Move> {
        let step = |to| Change::Step { name: "LR".into(), from: 0.0, to };
        let edits = ["a", "b", "c", "d", "e", "f"].map(edit);
        let steps = [-1.2, -0.3, 0.3, 1.2].map(step);
        edits.into_iter().chain(steps).map(|change| Move { changes: vec![change], prior: 2 }).collect()
    }

    fn run(changes: &[&str], gain: f64) -> Run {
        let measured = Measured { gain, pairs: 2, spread: Some(0.002), kind: ChangeKind::Structure, kept: false };
        Run {
            champion: 0,
            changes: changes.iter().map(|name| edit(name)).collect(),
            result: Result::Measured(measured),
        }
    }

    fn failed(changes: &[&str]) -> Run {
        Run { result: Result::Failed, ..run(changes, 0.0) }
    }

    /// The bundles of many trials.
    fn bundles(runs: &[Run], parts: Parts) -> Vec<Vec<usize>> {
        let moves = moves();
        let place = Place { champion: 0, level: 2.2, noise: 0.008, moves: &moves };
        let draw = |trial| {
            let random = &mut Random::new(3, trial);
            Chooser::new(runs, &place, parts, random).draw(random).moves
        };
        (0..100).map(draw).collect()
    }

    fn with(bundles: &[Vec<usize>], at: usize) -> usize {
        bundles.iter().filter(|moves| moves.contains(&at)).count()
    }

    #[test]
    fn without_trials_operators_of_high_priors_come_first() {
        let moves: Vec<Move> = (0..4u8).map(|prior| Move { changes: vec![edit(&format!("{prior}"))], prior }).collect();
        let place = Place { champion: 0, level: 2.2, noise: 0.008, moves: &moves };
        let random = &mut Random::new(3, 1);
        let chooser = Chooser::new(&[], &place, Parts::ALL, random);
        let bundles: Vec<Vec<usize>> = (0..200).map(|_| chooser.draw(random).moves).collect();
        let counts = [0, 1, 2, 3].map(|at| with(&bundles, at));
        assert!(counts.is_sorted() && counts[3] > 4 * counts[0], "{counts:?}");
    }

    #[test]
    fn with_the_model_what_gained_is_chosen_and_what_lost_is_not() {
        let runs = [run(&["a", "b"], 0.02), run(&["a", "c"], 0.02), run(&["d"], -0.05), run(&["e", "a"], 0.0)];
        let (on, off) = (bundles(&runs, Parts::ALL), bundles(&runs, Parts { model: false, ..Parts::ALL }));
        assert!(with(&on, 0) > 60 && with(&on, 3) < 5, "{on:?}");
        assert!(with(&off, 0) < 60 && with(&off, 3) > 5, "{off:?}");
    }

    #[test]
    fn with_bundles_several_changes_are_tried_at_once() {
        let single = Parts { bundles: false, ..Parts::ALL };
        assert!(bundles(&[], Parts::ALL).iter().any(|moves| moves.len() > 1));
        assert!(bundles(&[], single).iter().all(|moves| moves.len() < 2));
    }

    #[test]
    fn with_near_misses_what_probably_gains_is_combined() {
        let runs = [run(&["a"], 0.006), run(&["b"], 0.006), run(&["c"], -0.02)];
        let moves = moves();
        let place = Place { champion: 0, level: 2.2, noise: 0.008, moves: &moves };
        let combined = |parts, trial| {
            let chooser = Chooser::new(&runs, &place, parts, &mut Random::new(1, 1));
            chooser.near_misses(trial).map(|bundle| bundle.moves)
        };
        assert_eq!(combined(Parts::ALL, NEAR_MISS_EVERY).map(|moves| with(&[moves], 0)), Some(1));
        assert!(combined(Parts::ALL, NEAR_MISS_EVERY).is_some_and(|moves| moves.contains(&1) && !moves.contains(&2)));
        assert_eq!(combined(Parts::ALL, NEAR_MISS_EVERY + 1), None);
        assert_eq!(combined(Parts { near_misses: false, ..Parts::ALL }, NEAR_MISS_EVERY), None);
    }

    #[test]
    fn with_widening_steps_are_longer_after_many_trials_without_a_keep() {
        let runs: Vec<Run> = (0..100).map(|_| run(&["f"], -0.01)).collect();
        let long = |runs: &[Run], parts| {
            let bundles = bundles(runs, parts);
            with(&bundles, 6) + with(&bundles, 9)
        };
        assert_eq!(long(&[], Parts::ALL), 0);
        assert!(long(&runs, Parts::ALL) > 5);
        assert_eq!(long(&runs, Parts { widening: false, ..Parts::ALL }), 0);
    }

    #[test]
    fn with_failures_what_failed_is_drawn_less() {
        let runs: Vec<Run> = (0..6).map(|_| failed(&["a"])).collect();
        let (on, off) = (bundles(&runs, Parts::ALL), bundles(&runs, Parts { failures: false, ..Parts::ALL }));
        assert!(2 * with(&on, 0) < with(&off, 0), "{} {}", with(&on, 0), with(&off, 0));
    }

    #[test]
    fn few_edits_of_a_bundle_are_new() {
        let new = |moves: &Vec<usize>| moves.iter().filter(|at| **at < 6).count();
        assert_eq!(bundles(&[], Parts::ALL).iter().map(new).max(), Some(MOST_NEW_EDITS));
    }

    #[test]
    fn no_bundle_touches_a_constant_twice() {
        for moves in bundles(&[], Parts::ALL) {
            assert!(moves.iter().filter(|at| **at > 5).count() < 2, "{moves:?}");
        }
    }
}
