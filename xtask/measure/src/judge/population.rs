//! Mutations of known effect, and the noise of their runs.

use nightlab::propose::evolve::random::Random;
use nightlab::record::trial::ChangeKind;
use std::f64::consts::{SQRT_2, TAU};

/// Sizes of effects, in standard deviations of a score over random seeds.
pub const EFFECTS: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0];
/// Score of the champion in bits per byte, and its standard deviation: the seed guest at 20 s.
pub const LEVEL: f64 = 2.2;
pub const SD: f64 = 0.0082;
/// Of the mutations that do not gain, the share that changes nothing.
const NULLS: f64 = 0.35;
const UNSTABLE: f64 = 0.05;

/// What is tried in a night.
pub struct Population {
    pub name: String,
    /// Share of mutations that gain.
    gains: f64,
    /// If set, every mutation is a null whose own scores vary by this factor.
    null_variance: Option<f64>,
}

pub struct Mutation {
    pub kind: ChangeKind,
    /// True gain in standard deviations of a score; 0 for a null.
    pub effect: f64,
    /// Standard deviation of the gain between random seeds, in bits per byte.
    pub spread: f64,
}

impl Population {
    pub fn all() -> Vec<Self> {
        let rates = [0.03, 0.1, 0.3].map(|gains| Self {
            name: format!("{:.0}% gain", gains * 100.0),
            gains,
            null_variance: None,
        });
        let nulls = [1.0, 2.0, 3.0, 5.0].map(|factor| Self {
            name: format!("nulls, own sd × {factor}"),
            gains: 0.0,
            null_variance: Some(factor),
        });
        rates.into_iter().chain(nulls).collect()
    }

    pub fn draw(&self, random: &mut Random) -> Mutation {
        let kind = if random.chance(0.5) { ChangeKind::Constant } else { ChangeKind::Structure };
        if let Some(factor) = self.null_variance {
            let spread = (1.0 + factor * factor).sqrt() * SD;
            return Mutation { kind: ChangeKind::Structure, effect: 0.0, spread };
        }
        let size = random.pick(&EFFECTS).copied().unwrap_or(1.0);
        let effect = match () {
            () if random.chance(self.gains) => size,
            () if random.chance(NULLS) => 0.0,
            () => -size,
        };
        // Shares of what two unrelated runs would show: log-normal around what was measured.
        let share = match kind {
            _ if random.chance(UNSTABLE) => 2.0 + 2.0 * random.uniform(),
            ChangeKind::Structure => (0.85f64.ln() + 0.35 * deviate(random)).exp(),
            ChangeKind::Constant | ChangeKind::Constants => (0.2f64.ln() + 0.7 * deviate(random)).exp(),
        };
        Mutation { kind, effect, spread: share * SQRT_2 * SD }
    }
}

impl Mutation {
    /// The gain on one random seed, in bits per byte.
    pub fn gain(&self, random: &mut Random) -> f64 {
        self.effect * SD + self.spread * deviate(random)
    }
}

/// A normal deviate, by Box and Muller.
pub fn deviate(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.uniform()).ln()).sqrt();
    radius * (TAU * random.uniform()).cos()
}
