//! All that the trials of a context teach about the next one.

use crate::propose::evolve::model::change::Change;
use crate::propose::evolve::model::failures::Failures;
use crate::propose::evolve::model::feature::{Feature, Reader, Row};
use crate::propose::evolve::model::moves::{Move, Place};
use crate::propose::evolve::model::noise::Noise;
use crate::propose::evolve::model::parts::Parts;
use crate::propose::evolve::model::posterior::{Observation, Posterior, Scales};
use crate::propose::evolve::model::run::{Result, Run};
use crate::propose::evolve::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// Losses beyond this share of the score count as this loss: how bad a broken guest is teaches nothing more.
const WORST: f64 = 0.03;
/// How far a gain may be from the sum of its parts, as a share of it: changes interact. More where the champion was
/// another.
const MISFIT: f64 = 0.2;
const MISFIT_ELSEWHERE: f64 = 0.35;
/// Standard deviation of what chance did to a champion, as a share of a score's.
const LUCK: f64 = 0.3;
/// Expected effects of edits in units of their scale, by the prior of their operator.
const EXPECTED: [f64; 4] = [-1.0, -0.5, 0.0, 0.5];
/// What all edits of a place have in common is half of the variance of an edit: √½.
const HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// Curvature of a constant in units of the scale of its slope: a champion is near the best value of most constants.
const CURVATURE: (f64, f64) = (-0.7, 0.7);

/// What is believed at one moment.
pub struct Belief<'a> {
    posterior: Posterior<'a>,
    /// By move: its unknowns and their shares.
    rows: Vec<Vec<(usize, f64)>>,
    /// By move: the probability that it does not fail.
    works: Vec<f64>,
    /// By move: whether each of its unknowns was measured.
    pub tried: Vec<bool>,
}

impl<'a> Belief<'a> {
    pub fn new(runs: &'a [Run], place: &'a Place<'a>, parts: Parts, width: f64) -> Self {
        let runs = if parts.model { runs } else { &[] };
        let here = place.moves.iter().flat_map(|m| &m.changes).filter_map(|change| match change {
            Change::Step { name, from, .. } => Some((name.as_str(), *from)),
            Change::Edit { .. } | Change::Without { .. } => None,
        });
        let mut reader = Reader::new(here.collect());
        let noise = Noise::of(runs, place.noise);
        let mut observations = Vec::new();
        for run in runs {
            if let Result::Measured(measured) = run.result
                && measured.gain.is_finite()
            {
                let mut row = reader.row(&run.changes);
                row.push((Feature::Champion(run.champion), 1.0));
                let gain = measured.gain.max(-WORST * place.level);
                let of_noise = noise.variance(&measured);
                let sure = (gain * gain - of_noise).max(0.0);
                let misfit = match run.champion == place.champion {
                    _ if !parts.misfit => 0.0,
                    true => MISFIT,
                    false => MISFIT_ELSEWHERE,
                };
                let variance = of_noise + misfit * misfit * sure;
                observations.push(Observation { row, gain, variance });
            }
        }
        let rows: Vec<Row<'a>> = place.moves.iter().map(|m| reader.row(&m.changes)).collect();
        let mut levels = BTreeMap::new();
        for (row, one) in rows.iter().zip(place.moves) {
            levels.extend(row.iter().filter(|(_, share)| *share > 0.0).map(|(feature, _)| (*feature, one.prior)));
        }
        let expected = |feature: &Feature| levels.get(feature).and_then(|level| EXPECTED.get(usize::from(*level)));
        let prior = |feature: &Feature, scales: &Scales| match feature {
            Feature::Slope(_) => (0.0, scales.step),
            Feature::Curvature(_) => (CURVATURE.0 * scales.step, CURVATURE.1 * scales.step),
            Feature::Edit(_) => (expected(feature).unwrap_or(&EXPECTED[1]) / width * scales.edit, HALF * scales.edit),
            Feature::Place(_) => (0.0, HALF * scales.edit),
            Feature::Champion(_) => (0.0, LUCK * place.noise),
        };
        let measured = observations.iter().flat_map(|o| &o.row).map(|(feature, _)| feature);
        let measured: BTreeSet<&Feature> = measured.collect();
        let tried = rows.iter().map(|row| row.iter().all(|(feature, _)| measured.contains(feature))).collect();
        let unknowns = rows.iter().flatten().map(|(feature, _)| *feature);
        let posterior = Posterior::fit(&observations, unknowns, place.level, &prior);
        let at = |row: &Row| row.iter().filter_map(|(f, share)| Some((*posterior.index.get(f)?, *share))).collect();
        let rows = rows.iter().map(at).collect();
        let failures = Failures::of(if parts.failures { runs } else { &[] }, place.champion);
        let works = |m: &Move| m.changes.iter().map(|change| 1.0 - failures.of_change(change)).product();
        let works = place.moves.iter().map(works).collect();
        Self { posterior, rows, works, tried }
    }

    /// The expected gain of each move.
    pub fn expected(&self) -> Vec<f64> {
        self.gains(self.posterior.mean())
    }

    /// The standard deviation of the belief about the gain of each move.
    pub fn spread(&self) -> Vec<f64> {
        self.rows.iter().map(|row| self.posterior.spread(row)).collect()
    }

    /// One draw of the gain of each move.
    pub fn draw(&self, random: &mut Random) -> Vec<f64> {
        self.gains(&self.posterior.draw(random))
    }

    fn gains(&self, unknowns: &[f64]) -> Vec<f64> {
        let gain = |row: &Vec<(usize, f64)>| {
            row.iter().fold(0.0, |sum, (at, share)| sum + share * unknowns.get(*at).copied().unwrap_or(0.0))
        };
        self.rows.iter().map(gain).collect()
    }

    /// The probability that a move does not fail.
    pub fn works(&self, at: usize) -> f64 {
        self.works.get(at).copied().unwrap_or(0.0)
    }
}
