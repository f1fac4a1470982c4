//! A night in a landscape: proposals of one arm, judged by the project's judge, until the runs are used up.

use super::arms::{Arm, Proposal, Tried};
use super::landscape::{Guest, Landscape};
use crate::judge::version_1;
use nightlab::experiment::judge::{Evidence, Experience, Next, Noise, Posterior, Selection};
use nightlab::propose::evolve::model::normal::deviate;
use nightlab::propose::evolve::random::Random;
use nightlab::record::ending::Ending;
use nightlab::record::trial::{ChangeKind, Findings, Trial};
use std::collections::BTreeSet;

/// Score of the seed guest in bits per byte, and its standard deviation over random seeds: the seed guest at 20 s.
pub const LEVEL: f64 = 2.2;
pub const SD: f64 = 0.0082;
/// Scores of the baseline on four random seeds.
const REPLICAS: [f64; 4] = [LEVEL - SD, LEVEL - SD, LEVEL + SD, LEVEL + SD];
/// Share of the variance of a difference that is the champion's: its run on a random seed is met by all.
const OF_CHAMPION: f64 = 0.3;

/// Who decides what is kept.
#[derive(Clone, Copy, PartialEq)]
pub enum Judge {
    /// This version's, with its default policy but for the confirm split.
    Present,
    /// Version 0.1's: a screening run, then two runs of both on fresh random seeds.
    Version1,
}

/// Shares of the attainable gain that the champion has after each number of runs.
pub fn night(landscape: &Landscape, (arm, judge): (Arm, Judge), noise: f64, number: u64, after: &[u32]) -> Vec<f64> {
    let mut bench = Bench { landscape, judge, noise, number, experience: Experience::default(), keeps: 0 };
    let (mut champion, mut runs, mut trials) = (Guest::SEED, 0, 0);
    let mut tried: Vec<Tried> = Vec::new();
    let mut keys = BTreeSet::from([champion.key()]);
    let mut shares = Vec::new();
    while shares.len() < after.len() {
        trials += 1;
        // A proposal is written while the trial before it runs, and anew if that one was kept.
        let known = match tried.last() {
            Some(last) if !last.kept => tried.len() - 1,
            Some(_) | None => tried.len(),
        };
        let seed = number << 20 | trials;
        let next = arm.propose(&champion, (&tried[..known], bench.keeps), &|guest| keys.contains(&guest.key()), seed);
        let Some(proposal) = next else {
            shares.resize(after.len(), landscape.gain(&champion) / landscape.attainable);
            break;
        };
        keys.insert(proposal.guest.key());
        let one = bench.judge(&champion, &proposal, trials);
        let before = landscape.gain(&champion) / landscape.attainable;
        runs += one.runs;
        // What is kept counts when its last run is over.
        while shares.len() < after.len() && runs > after[shares.len()] {
            shares.push(before);
        }
        if one.kept {
            champion = proposal.guest;
            bench.keeps += 1;
        }
        tried.push(one);
        while shares.len() < after.len() && runs == after[shares.len()] {
            shares.push(landscape.gain(&champion) / landscape.attainable);
        }
    }
    shares
}

struct Bench<'a> {
    landscape: &'a Landscape,
    judge: Judge,
    /// Standard deviation of the difference of a typical pair.
    noise: f64,
    number: u64,
    experience: Experience,
    keeps: u64,
}

impl Bench<'_> {
    fn judge(&mut self, champion: &Guest, proposal: &Proposal, trial: u64) -> Tried {
        let Proposal { guest, operator, .. } = proposal;
        let kind = kind(champion, guest);
        let mut one = Tried::new(champion, proposal, self.keeps, kind);
        if self.landscape.fails(guest) {
            return one;
        }
        let effect = self.landscape.gain(guest) - self.landscape.gain(champion);
        let spread = self.noise
            * match kind {
                ChangeKind::Constant => 0.5,
                ChangeKind::Constants => 0.8,
                ChangeKind::Structure => 1.25,
            };
        let own = &mut Random::new(self.number, trial);
        let of_champion = self.number ^ self.keeps << 32;
        let mut pairs = 0;
        let mut gain = || {
            let shared = deviate(&mut Random::new(of_champion, 1 << 40 | pairs));
            pairs += 1;
            effect + spread * ((1.0 - OF_CHAMPION).sqrt() * deviate(own) + OF_CHAMPION.sqrt() * shared)
        };
        match self.judge {
            Judge::Version1 => {
                let first = gain();
                let mut again = Some(first);
                let (kept, runs) = version_1(&REPLICAS, &mut || again.take().unwrap_or_else(&mut gain));
                one.measured(first, runs, None, kept);
            }
            Judge::Present => self.decide(&mut one, operator, kind, &mut gain),
        }
        one
    }

    /// One more pair after the other, as long as the result is open.
    fn decide(&mut self, one: &mut Tried, operator: &str, kind: ChangeKind, gain: &mut dyn FnMut() -> f64) {
        let (rule, noise) = (Selection::default(), Noise::of_replicas(&REPLICAS));
        let prior = self.experience.prior(operator, kind);
        let mut gains: Vec<f64> = Vec::new();
        let (next, posterior) = loop {
            gains.push(gain());
            let mean = gains.iter().sum::<f64>() / gains.len() as f64;
            let squares = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
            let evidence = Evidence { pairs: gains.len() as u32, mean, squares, of_text: 0.0, level: LEVEL };
            let posterior = Posterior::new(evidence, &prior, &noise, rule.least_gain * noise.sd());
            match rule.next(&posterior, false) {
                Next::Seed => {}
                next => break (next, posterior),
            }
        };
        let mut found = Findings { change: Some(kind), ..Findings::new(Ending::Noise) };
        posterior.write(&mut found);
        one.measured(posterior.evidence.mean, gains.len() as u32, found.spread, next == Next::Better);
        let trial = Trial { operator: operator.into(), ..Trial::baseline("", found) };
        self.experience.observe(&trial, &noise);
    }
}

fn kind(champion: &Guest, guest: &Guest) -> ChangeKind {
    let moved = champion.constants.iter().zip(&guest.constants).filter(|(a, b)| a != b).count();
    match (champion.switches == guest.switches, moved) {
        (false, _) => ChangeKind::Structure,
        (true, 0 | 1) => ChangeKind::Constant,
        (true, _) => ChangeKind::Constants,
    }
}
