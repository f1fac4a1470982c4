//! The rules that are compared. Each judges the mutations of one night.

use super::population::{LEVEL, Mutation, Population, SD, deviate};
use nightlab::experiment::judge::{Evidence, Experience, Next, Noise, Posterior, Selection};
use nightlab::propose::evolve::random::Random;
use nightlab::record::ending::Ending;
use nightlab::record::trial::{Findings, Trial};
use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};
use std::f64::consts::SQRT_2;

#[derive(Clone, Copy)]
pub enum Rule {
    /// The judge of this version, with its default policy.
    Judge,
    /// Version 0.1: a screening run, then two runs of both on fresh random seeds.
    Version1,
    /// Keeps whatever is better on one random seed.
    Greedy,
}

impl Rule {
    pub const ALL: [Self; 3] = [Self::Judge, Self::Version1, Self::Greedy];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Version1 => "0.1",
            Self::Greedy => "greedy",
        }
    }

    /// Judges a night's mutations. `decided` gets each with whether it was kept and the runs that it cost.
    pub fn night(self, of: &Population, number: u64, trials: u32, decided: &mut dyn FnMut(&Mutation, bool, u32)) {
        let random = &mut Random::new(number, 0);
        let replicas: Vec<f64> = (0..4).map(|_| LEVEL + SD * deviate(random)).collect();
        let (noise, mut experience) = (Noise::of_replicas(&replicas), Experience::default());
        for _ in 0..trials {
            let mutation = of.draw(random);
            let (kept, runs) = match self {
                Self::Judge => judge(&mutation, &noise, &mut experience, random),
                Self::Version1 => version_1(&replicas, &mut || mutation.gain(random)),
                Self::Greedy => (mutation.gain(random) > 0.0, 1),
            };
            decided(&mutation, kept, runs);
        }
    }
}

fn judge(mutation: &Mutation, noise: &Noise, experience: &mut Experience, random: &mut Random) -> (bool, u32) {
    let rule = Selection::default();
    let prior = experience.prior(mutation.kind.name(), mutation.kind);
    let mut gains = Vec::new();
    let (next, posterior) = loop {
        gains.push(mutation.gain(random));
        let mean = gains.iter().sum::<f64>() / gains.len() as f64;
        let squares = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
        let evidence = Evidence { pairs: gains.len() as u32, mean, squares, of_text: 0.0, level: LEVEL };
        let posterior = Posterior::new(evidence, &prior, noise, rule.least_gain * noise.sd());
        match rule.next(&posterior, false) {
            Next::Seed => {}
            next => break (next, posterior),
        }
    };
    let mut found = Findings { change: Some(mutation.kind), ..Findings::new(Ending::Noise) };
    posterior.write(&mut found);
    let trial = Trial { operator: mutation.kind.name().into(), ..Trial::baseline("", found) };
    experience.observe(&trial, noise);
    (next == Next::Better, gains.len() as u32)
}

/// The rule of version 0.1. It took the two runs of a pair for independent, and the spread of the candidate for the
/// champion's.
/// `gain` is one more pair. Returns whether it is kept, and the runs that this costs.
pub fn version_1(replicas: &[f64], gain: &mut dyn FnMut() -> f64) -> (bool, u32) {
    let centre = replicas.iter().sum::<f64>() / replicas.len() as f64;
    let prior = 0.0012 * LEVEL;
    let squares: f64 = replicas.iter().map(|score| (score - centre).powi(2)).sum();
    let degrees = 4.0 + replicas.len() as f64 - 1.0;
    let sd = ((4.0 * prior * prior + squares) / degrees).sqrt();
    if gain() <= SQRT_2 * sd {
        return (false, 1);
    }
    let (mut sum, mut runs) = (0.0, 1);
    for pairs in 1..=2 {
        sum += gain();
        runs += 2;
        let n = f64::from(pairs);
        let p = version_1_p_better(sum / n, (2.0 / n).sqrt() * sd, degrees);
        match pairs {
            _ if p < 0.02 => return (false, runs),
            2 => return (p >= 0.95, runs),
            _ => {}
        }
    }
    (false, runs)
}

/// Posterior of version 0.1 for a gain with a standard error of some degrees of freedom.
fn version_1_p_better(gain: f64, error: f64, degrees: f64) -> f64 {
    let (normal, t) = (Normal::standard(), (gain / error).abs());
    let Ok(student) = StudentsT::new(0.0, 1.0, degrees) else { return 0.0 };
    let s = match t < 1e-6 {
        true => error * normal.pdf(0.0) / student.pdf(0.0),
        false => (gain.abs() / -normal.inverse_cdf(student.sf(t).max(1e-300))).max(error),
    };
    let density = |variance: f64| (-0.5 * (gain * gain / variance + variance.ln())).exp();
    let sides = [(0.6, 0.005), (0.3, 0.02), (0.1, 0.08)].map(|(weight, share)| {
        let tau: f64 = share * LEVEL;
        let (both, z) = (2.0 * weight * density(tau * tau + s * s), gain * tau / (s * tau.hypot(s)));
        (both * normal.cdf(z), both * normal.cdf(-z))
    });
    let better: f64 = 0.1 * sides.iter().map(|(better, _)| better).sum::<f64>();
    let worse: f64 = 0.6 * sides.iter().map(|(_, worse)| worse).sum::<f64>();
    better / (better + worse + 0.3 * density(s * s))
}
