//! Landscapes of known shape: constants with a best value, switches with an effect, interactions, and what fails.

use nightlab::propose::evolve::model::normal::deviate;
use nightlab::propose::evolve::random::Random;

pub const CONSTANTS: usize = 24;
pub const SWITCHES: usize = 16;
/// Constants that are far from their best value, and switches that gain: a fifth of all.
const GOOD_CONSTANTS: usize = 5;
const GOOD_SWITCHES: usize = 3;
/// Of the other switches, the share that changes nothing.
const NULLS: f64 = 0.35;
/// Pairs of changes that interact.
const INTERACTIONS: usize = 24;
/// Switches that do not compile, and pairs of switches that do not go together.
const BROKEN: usize = 2;
const CLASHES: usize = 3;
/// Guests, beside the seed guest, from which the best one is looked for.
const STARTS: usize = 20;
/// A constant beyond this distance from where it began diverges.
const DIVERGES: f64 = 1.6;

/// What a guest is, in a landscape.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    /// Logarithms of the constants, 0 for the seed guest's.
    pub constants: [f64; CONSTANTS],
    pub switches: [bool; SWITCHES],
}

impl Guest {
    pub const SEED: Self = Self { constants: [0.0; CONSTANTS], switches: [false; SWITCHES] };

    pub fn key(&self) -> Vec<i64> {
        let constants = self.constants.iter().map(|x| (x * 1e6).round() as i64);
        constants.chain(self.switches.iter().map(|on| i64::from(*on))).collect()
    }
}

/// The kind of a landscape.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What can be gained by one change, in bits per byte: from and to, evenly by their logarithms.
    pub sizes: (f64, f64),
    /// The size of an interaction as a share of the effects of its two changes.
    pub interaction: f64,
}

pub struct Landscape {
    best: [f64; CONSTANTS],
    curvature: [f64; CONSTANTS],
    effects: [f64; SWITCHES],
    /// Pairs of coordinates (constants, then switches), and the gain for their product.
    interactions: Vec<(usize, usize, f64)>,
    broken: Vec<usize>,
    clashes: Vec<(usize, usize)>,
    /// The gain of the best guest.
    pub attainable: f64,
}

impl Landscape {
    pub fn draw(number: u64, Kind { sizes: (low, high), interaction }: Kind) -> Self {
        let random = &mut Random::new(number, u64::MAX);
        let between =
            |random: &mut Random, low: f64, high: f64| (low.ln() + (high / low).ln() * random.uniform()).exp();
        let sign = |random: &mut Random| if random.chance(0.5) { 1.0 } else { -1.0 };
        let mut best = [0.0; CONSTANTS];
        let mut curvature = [0.0; CONSTANTS];
        let good = some(random, CONSTANTS, GOOD_CONSTANTS);
        for at in 0..CONSTANTS {
            if good.contains(&at) {
                best[at] = sign(random) * (0.3 + 0.9 * random.uniform());
                curvature[at] = between(random, low, high) / (best[at] * best[at]);
            } else {
                best[at] = 0.1 * deviate(random);
                curvature[at] = between(random, low, high);
            }
        }
        let mut effects = [0.0; SWITCHES];
        let good = some(random, SWITCHES, GOOD_SWITCHES);
        for (at, effect) in effects.iter_mut().enumerate() {
            *effect = match good.contains(&at) {
                true => between(random, low, high),
                false if random.chance(NULLS) => 0.0,
                false => -between(random, low, high),
            };
        }
        let size = |at: usize| match at.checked_sub(CONSTANTS) {
            None => curvature[at] * best[at] * best[at],
            Some(switch) => effects[switch],
        };
        let interactions = (0..INTERACTIONS)
            .map(|_| {
                let pair = some(random, CONSTANTS + SWITCHES, 2);
                let scale = (size(pair[0]) * size(pair[1])).abs().sqrt();
                (pair[0], pair[1], interaction * scale * deviate(random))
            })
            .collect();
        let bad: Vec<usize> = (0..SWITCHES).filter(|at| effects[*at] <= 0.0).collect();
        let broken = some(random, bad.len(), BROKEN).into_iter().map(|at| bad[at]).collect();
        let clashes = (0..CLASHES).map(|_| some(random, SWITCHES, 2)).map(|pair| (pair[0], pair[1])).collect();
        let mut new = Self { best, curvature, effects, interactions, broken, clashes, attainable: 0.0 };
        let starts = (0..STARTS).map(|_| {
            let switches = std::array::from_fn(|_| random.chance(0.3));
            Guest { switches, ..Guest::SEED }
        });
        let starts: Vec<Guest> = starts.chain([Guest::SEED]).collect();
        new.attainable = starts.into_iter().map(|start| new.climb(start)).fold(0.0, f64::max);
        new
    }

    /// The gain over the seed guest, in bits per byte.
    pub fn gain(&self, guest: &Guest) -> f64 {
        let constants: f64 = (0..CONSTANTS)
            .map(|at| self.curvature[at] * (self.best[at].powi(2) - (guest.constants[at] - self.best[at]).powi(2)))
            .sum();
        let switches: f64 = (0..SWITCHES).filter(|at| guest.switches[*at]).map(|at| self.effects[at]).sum();
        // How far a guest has gone along a coordinate, 1 where its effect is whole.
        let along = |at: usize| match at.checked_sub(CONSTANTS) {
            None => (guest.constants[at] / self.best[at].abs().max(0.2)).clamp(-1.5, 1.5),
            Some(switch) => f64::from(u8::from(guest.switches[switch])),
        };
        let interactions: f64 = self.interactions.iter().map(|(a, b, gain)| gain * along(*a) * along(*b)).sum();
        constants + switches + interactions
    }

    pub fn fails(&self, guest: &Guest) -> bool {
        let on = |at: &usize| guest.switches[*at];
        self.broken.iter().any(on)
            || self.clashes.iter().any(|(a, b)| on(a) && on(b))
            || guest.constants.iter().any(|x| x.abs() > DIVERGES)
    }

    /// The highest gain that is found from a guest by changing one coordinate after the other.
    fn climb(&self, mut guest: Guest) -> f64 {
        let mut top = if self.fails(&guest) { f64::NEG_INFINITY } else { self.gain(&guest) };
        loop {
            let before = top;
            for at in 0..CONSTANTS + SWITCHES {
                let values = if at < CONSTANTS { 65 } else { 2 };
                for value in 0..values {
                    let mut next = guest.clone();
                    match at.checked_sub(CONSTANTS) {
                        None => next.constants[at] = DIVERGES * (f64::from(value) / 32.0 - 1.0),
                        Some(switch) => next.switches[switch] = value == 1,
                    }
                    let gain = self.gain(&next);
                    if gain > top && !self.fails(&next) {
                        (guest, top) = (next, gain);
                    }
                }
            }
            if top <= before {
                return top;
            }
        }
    }
}

/// Different indices below `of`.
fn some(random: &mut Random, of: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..of).collect();
    (0..count.min(of))
        .map(|_| all.swap_remove(((random.uniform() * all.len() as f64) as usize).min(all.len() - 1)))
        .collect()
}
