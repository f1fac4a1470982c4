//! Bayesian linear regression on the gains of all trials: each is the sum of its changes' effects and of noise. How
//! large effects and noise are is fitted by the probability of what was measured (the marginal likelihood), on a grid.

use crate::propose::evolve::model::cholesky::Cholesky;
use crate::propose::evolve::model::feature::{Feature, Row};
use crate::propose::evolve::model::normal;
use crate::propose::evolve::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// A gain that was measured.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    pub row: Row<'a>,
    pub gain: f64,
    pub variance: f64,
}

/// The sizes of effects and noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scales {
    /// Of an edit's effect, in bits per byte.
    pub edit: f64,
    /// Of the gain for a step of a constant by a factor of e.
    pub step: f64,
    /// Variance of the noise, as a multiple of what the spread of pairs says.
    pub noise: f64,
}

/// What is believed of an unknown before any trial, in units of its scale: mean and standard deviation.
pub type PriorOf<'a> = &'a dyn Fn(&Feature, &Scales) -> (f64, f64);

/// First guess of the scales, and how far the grid goes on both sides, by factors of two. Effects are shares of the
/// score.
const FIRST: Scales = Scales { edit: 0.006, step: 0.006, noise: 1.0 };
const REACH: i32 = 3;
/// Standard deviation of the belief about a scale, in factors of two.
const SURENESS: f64 = 1.5;
/// Rounds of the search over the grid, one scale after the other.
const ROUNDS: usize = 2;

/// The sums that all scales share: `Xᵀ·V⁻¹·X` (lower triangle), `Xᵀ·V⁻¹·y`, `yᵀ·V⁻¹·y`.
struct Sums<'a> {
    features: Vec<Feature<'a>>,
    squares: Vec<Vec<f64>>,
    products: Vec<f64>,
    gains: f64,
    count: f64,
    apart: Vec<Apart<'a>>,
}

/// An observation with edits that no other one has and that nobody asks for, such as the rest of what a model wrote.
/// They are noise of its own, whose size follows from the scales. So the number of unknowns does not grow with trials.
struct Apart<'a> {
    /// Indices and shares of its other unknowns.
    row: Vec<(usize, f64)>,
    gain: f64,
    variance: f64,
    edits: Vec<(Feature<'a>, f64)>,
}

/// What is believed of all unknowns after the trials.
pub struct Posterior<'a> {
    /// Index of each unknown: first those that were measured, then the others.
    pub index: BTreeMap<Feature<'a>, usize>,
    mean: Vec<f64>,
    precision: Cholesky,
    /// Standard deviations of the unknowns that no trial has.
    untried: Vec<f64>,
}

impl<'a> Posterior<'a> {
    /// Fits the model. `others` are unknowns that may not have been tried. `level` is the score.
    pub fn fit(
        observations: &[Observation<'a>],
        others: impl Iterator<Item = Feature<'a>>,
        level: f64,
        prior: PriorOf,
    ) -> Self {
        let others: Vec<Feature<'a>> = others.collect();
        let sums = Sums::of(observations, &others);
        let scales = sums.best_scales(level, prior);
        let fitted = sums.solve(&scales, prior);
        let (mut mean, precision) = fitted.map_or_else(|| (Vec::new(), Cholesky::default()), |f| (f.mean, f.precision));
        let mut index: BTreeMap<Feature<'a>, usize> =
            sums.features.into_iter().take(mean.len()).enumerate().map(|(at, feature)| (feature, at)).collect();
        let mut untried = Vec::new();
        for feature in others {
            if index.contains_key(&feature) {
                continue;
            }
            let (of_prior, sd) = prior(&feature, &scales);
            index.insert(feature, mean.len());
            mean.push(of_prior);
            untried.push(sd);
        }
        Self { index, mean, precision, untried }
    }

    /// The expected value of each unknown.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The standard deviation of a sum of unknowns, which are given by their indices and shares.
    pub fn spread(&self, row: &[(usize, f64)]) -> f64 {
        let tried = self.mean.len() - self.untried.len();
        let mut shares = vec![0.0; tried];
        let mut variance = 0.0;
        for (at, share) in row {
            match (shares.get_mut(*at), at.checked_sub(tried).and_then(|at| self.untried.get(at))) {
                (Some(place), _) => *place += share,
                (None, Some(sd)) => variance += (share * sd).powi(2),
                (None, None) => {}
            }
        }
        (variance + self.precision.variance(&shares)).sqrt()
    }

    /// One draw of all unknowns.
    pub fn draw(&self, random: &mut Random) -> Vec<f64> {
        let tried = self.mean.len() - self.untried.len();
        let deviates = self.precision.solve_upper((0..tried).map(|_| normal::deviate(random)).collect());
        let others = self.untried.iter().map(|sd| sd * normal::deviate(random));
        let deviates: Vec<f64> = deviates.into_iter().chain(others).collect();
        self.mean.iter().zip(deviates).map(|(mean, deviate)| mean + deviate).collect()
    }
}

struct Fitted {
    mean: Vec<f64>,
    precision: Cholesky,
    /// Logarithm of the probability of what was measured, up to a constant.
    evidence: f64,
}

impl<'a> Sums<'a> {
    fn of(observations: &[Observation<'a>], asked: &[Feature<'a>]) -> Self {
        let (mut seen, asked): (BTreeMap<Feature, u32>, BTreeSet<_>) = (BTreeMap::new(), asked.iter().collect());
        for (feature, _) in observations.iter().flat_map(|observation| &observation.row) {
            *seen.entry(*feature).or_insert(0) += 1;
        }
        let is_alone = |feature: &Feature| {
            matches!(feature, Feature::Edit(_)) && seen.get(feature) == Some(&1) && !asked.contains(feature)
        };
        let mut index = BTreeMap::new();
        let mut features = Vec::new();
        for (feature, _) in observations.iter().flat_map(|observation| &observation.row) {
            if !is_alone(feature) {
                index.entry(feature).or_insert_with(|| {
                    features.push(*feature);
                    features.len() - 1
                });
            }
        }
        let squares = (0..features.len()).map(|row| vec![0.0; row + 1]).collect();
        let products = vec![0.0; features.len()];
        let mut sums = Self { features, squares, products, gains: 0.0, count: 0.0, apart: Vec::new() };
        for &Observation { ref row, gain, variance } in observations {
            let edits: Vec<(Feature, f64)> = row.iter().filter(|(feature, _)| is_alone(feature)).copied().collect();
            let row: Vec<(usize, f64)> = row.iter().filter_map(|(f, share)| Some((*index.get(f)?, *share))).collect();
            if edits.is_empty() {
                add(&mut sums.squares, &mut sums.products, &row, gain, variance);
                sums.gains += gain * gain / variance;
                sums.count += 1.0;
            } else {
                sums.apart.push(Apart { row, gain, variance, edits });
            }
        }
        sums
    }

    fn solve(&self, scales: &Scales, prior: PriorOf) -> Option<Fitted> {
        let mut matrix = self.squares.clone();
        matrix.iter_mut().flatten().for_each(|square| *square /= scales.noise);
        let mut products: Vec<f64> = self.products.iter().map(|product| product / scales.noise).collect();
        let mut evidence = -0.5 * (self.gains / scales.noise + self.count * libm::log(scales.noise));
        for Apart { row, gain, variance, edits } in &self.apart {
            let (mut gain, mut all) = (*gain, variance * scales.noise);
            for (feature, share) in edits {
                let (mean, sd) = prior(feature, scales);
                gain -= share * mean;
                all += (share * sd).powi(2);
            }
            add(&mut matrix, &mut products, row, gain, all);
            evidence -= 0.5 * (gain * gain / all + libm::log(all / variance));
        }
        for ((feature, row), product) in self.features.iter().zip(&mut matrix).zip(&mut products) {
            let (mean, sd) = prior(feature, scales);
            *row.last_mut()? += 1.0 / (sd * sd);
            *product += mean / (sd * sd);
            evidence -= 0.5 * (mean * mean / (sd * sd) + 2.0 * libm::log(sd));
        }
        let precision = Cholesky::new(matrix)?;
        let mean = precision.solve(&products);
        evidence += 0.5 * mean.iter().zip(&products).fold(0.0, |sum, (a, b)| sum + a * b);
        evidence -= 0.5 * precision.log_determinant();
        Some(Fitted { mean, precision, evidence })
    }

    /// The scales of the highest probability, one after the other on their grids.
    fn best_scales(&self, level: f64, prior: PriorOf) -> Scales {
        let mut steps = [0i32; 3];
        if self.features.is_empty() {
            return scales_at(steps, level);
        }
        let mut known = BTreeMap::new();
        let mut value = |steps: [i32; 3]| {
            *known.entry(steps).or_insert_with(|| {
                let far: f64 = steps.iter().map(|step| f64::from(step * step)).sum();
                let fitted = self.solve(&scales_at(steps, level), prior);
                fitted.map_or(f64::NEG_INFINITY, |f| f.evidence - 0.5 * far / (SURENESS * SURENESS))
            })
        };
        for at in [0, 1, 2].repeat(ROUNDS) {
            // Uphill to the next top: the evidence is smooth, so this needs few solutions.
            for way in [1, -1] {
                loop {
                    let mut next = steps;
                    next[at] += way;
                    if next[at].abs() > REACH || value(next) <= value(steps) {
                        break;
                    }
                    steps = next;
                }
            }
        }
        scales_at(steps, level)
    }
}

/// Adds an observation to the sums.
fn add(squares: &mut [Vec<f64>], products: &mut [f64], row: &[(usize, f64)], gain: f64, variance: f64) {
    for (i, a) in row {
        if let Some(product) = products.get_mut(*i) {
            *product += a * gain / variance;
        }
        for (j, b) in row.iter().filter(|(j, _)| j <= i) {
            if let Some(square) = squares.get_mut(*i).and_then(|squares| squares.get_mut(*j)) {
                *square += a * b / variance;
            }
        }
    }
}

fn scales_at([edit, step, noise]: [i32; 3], level: f64) -> Scales {
    let times =
        |first: f64, steps: i32| first * if steps < 0 { 1.0 / f64::from(1 << -steps) } else { f64::from(1 << steps) };
    Scales {
        edit: times(FIRST.edit * level, edit),
        step: times(FIRST.step * level, step),
        noise: times(FIRST.noise, noise),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

    fn prior(_: &Feature, scales: &Scales) -> (f64, f64) {
        (0.0, scales.edit)
    }

    /// Gains of random bundles of edits with these effects.
    fn observations(effects: [f64; 8], noise: f64, count: u64) -> Vec<Observation<'static>> {
        let one = |number| {
            let random = &mut Random::new(9, number);
            let taken: Vec<usize> = (0..8).filter(|_| random.chance(0.5)).collect();
            let gain = taken.iter().map(|at| effects[*at]).sum::<f64>() + noise * normal::deviate(random);
            let row = taken.into_iter().map(|at| (Feature::Edit(NAMES[at]), 1.0)).collect();
            Observation { row, gain, variance: noise * noise }
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn effects_are_told_apart_although_they_were_tried_together() {
        let effects = [0.05, -0.02, 0.0, 0.01, 0.0, -0.04, 0.02, 0.0];
        let posterior = Posterior::fit(&observations(effects, 0.005, 60), [].into_iter(), 2.2, &prior);
        for (name, effect) in NAMES.iter().zip(effects) {
            let mean = posterior.mean()[posterior.index[&Feature::Edit(name)]];
            assert!((mean - effect).abs() < 0.005, "{name}: {mean} {effect}");
        }
    }

    /// Whether an edit of one trial alone is an unknown or noise of that trial says the same of all others.
    #[test]
    fn edits_of_one_trial_need_not_be_unknowns() {
        let names: Vec<String> = (0..60).map(|number| format!("#{number}")).collect();
        let effects = [0.05, -0.02, 0.0, 0.01, 0.0, -0.04, 0.02, 0.0];
        let mut observations = observations(effects, 0.005, 60);
        for (observation, name) in observations.iter_mut().zip(&names).step_by(3) {
            observation.row.push((Feature::Edit(name), 1.0));
        }
        let lone = names.iter().step_by(3).map(|name| Feature::Edit(name));
        let [apart, asked] = [Sums::of(&observations, &[]), Sums::of(&observations, &lone.collect::<Vec<_>>())];
        assert_eq!((apart.features.len(), asked.features.len()), (8, 28));
        for scales in [scales_at([0, 0, 0], 2.2), scales_at([2, 0, -1], 2.2)] {
            let with_mean = |_: &Feature, scales: &Scales| (0.3 * scales.edit, scales.edit);
            let [apart, asked] = [&apart, &asked].map(|sums| sums.solve(&scales, &with_mean).unwrap());
            assert!((apart.evidence - asked.evidence).abs() < 1e-8, "{} {}", apart.evidence, asked.evidence);
        }
        let [apart, asked] = [false, true].map(|are_asked| {
            let lone = names.iter().step_by(3).map(|name| Feature::Edit(name)).filter(|_| are_asked);
            Posterior::fit(&observations, lone, 2.2, &prior)
        });
        for name in NAMES {
            let of = |posterior: &Posterior| posterior.mean()[posterior.index[&Feature::Edit(name)]];
            assert!((of(&apart) - of(&asked)).abs() < 1e-9, "{name}");
        }
    }

    #[test]
    fn scales_follow_what_was_measured() {
        let scales = |effects, noise| {
            let observations = observations(effects, noise, 60);
            Sums::of(&observations, &[]).best_scales(2.2, &prior)
        };
        let small = [0.002, -0.001, 0.001, 0.0, -0.002, 0.001, 0.0, 0.002];
        assert!(scales(small.map(|effect| 40.0 * effect), 0.002).edit > 3.0 * scales(small, 0.002).edit);
        let more: Vec<Observation> = observations(small, 0.01, 60)
            .into_iter()
            .map(|one| Observation { variance: one.variance / 16.0, ..one })
            .collect();
        assert!(Sums::of(&more, &[]).best_scales(2.2, &prior).noise >= 4.0, "noise is larger than the pairs said");
    }

    #[test]
    fn draws_scatter_around_the_mean_and_what_was_not_tried_by_its_prior() {
        let new = Feature::Edit("new");
        let posterior = Posterior::fit(&observations([0.05; 8], 0.005, 60), [new].into_iter(), 2.2, &prior);
        let random = &mut Random::new(1, 1);
        let draws: Vec<Vec<f64>> = (0..400).map(|_| posterior.draw(random)).collect();
        let spread = |feature| {
            let at = posterior.index[&feature];
            let mean = draws.iter().map(|draw| draw[at]).sum::<f64>() / 400.0;
            (mean, (draws.iter().map(|draw| (draw[at] - mean).powi(2)).sum::<f64>() / 400.0).sqrt())
        };
        let ((tried, sure), (_, unsure)) = (spread(Feature::Edit("a")), spread(new));
        assert!((tried - 0.05).abs() < 0.005 && sure < 0.004 && unsure > 5.0 * sure, "{tried} {sure} {unsure}");
        // The same without draws, for a sum too.
        let at = |feature| (posterior.index[&feature], 1.0);
        let exact = |row: &[(usize, f64)]| posterior.spread(row);
        let [a, b] = [at(Feature::Edit("a")), at(Feature::Edit("b"))];
        assert!((exact(&[a]) / sure - 1.0).abs() < 0.15 && (exact(&[at(new)]) / unsure - 1.0).abs() < 0.15);
        let sums: Vec<f64> = draws.iter().map(|draw| draw[a.0] + draw[b.0]).collect();
        let mean = sums.iter().sum::<f64>() / 400.0;
        let drawn = (sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / 400.0).sqrt();
        assert!((exact(&[a, b]) / drawn - 1.0).abs() < 0.15, "{drawn}");
        assert!(exact(&[a, (b.0, -1.0)]) > exact(&[a, b]), "what was tried together is told apart worse");
    }

    #[test]
    fn nothing_measured_leaves_the_prior() {
        let posterior = Posterior::fit(&[], [Feature::Edit("a")].into_iter(), 2.2, &|_, _| (0.25, 1.0));
        assert_eq!(posterior.mean(), [0.25]);
    }
}
