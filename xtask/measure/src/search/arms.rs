//! Who proposes: chance, the greedy search of version 0.1, and the search of this version with parts switched off.

use super::archive;
use super::greedy;
use super::landscape::{CONSTANTS, Guest, SWITCHES};
use super::night::{LEVEL, SD};
use nightlab::propose::evolve::model::change::Change;
use nightlab::propose::evolve::model::choose::{Bundle, Chooser};
use nightlab::propose::evolve::model::moves::{Move, Place};
use nightlab::propose::evolve::model::parts::Parts;
use nightlab::propose::evolve::model::run::{Measured, Result, Run};
use nightlab::propose::evolve::random::Random;
use nightlab::record::trial::ChangeKind;

/// Steps of a constant, as logarithms of factors: those of the project, and larger ones.
pub const STEPS: [f64; 7] = [0.095, 0.182, 0.336, 0.531, 0.693, 1.03, 1.386];
/// How often a proposal is drawn anew because it was tried.
const DRAWS: u64 = 64;

#[derive(Clone, Copy, PartialEq)]
pub enum Arm {
    Random,
    Greedy,
    Model(Parts),
    /// All parts. For one proposal in this many, an archive chooses what is changed.
    Archive {
        every: usize,
    },
}

/// What is to be tried.
pub struct Proposal {
    pub guest: Guest,
    pub operator: String,
    /// The trial whose guest was changed; 0 is the seed guest.
    pub parent: usize,
}

/// A trial of the night.
#[derive(Clone, Debug)]
pub struct Tried {
    pub guest: Guest,
    pub operator: String,
    /// The trial whose guest was changed; 0 is the seed guest.
    pub parent: usize,
    /// Constants that moved, and whether up.
    pub steps: Vec<(usize, bool)>,
    pub run: Run,
    pub kept: bool,
    /// Runs that it cost; a failure costs one.
    pub runs: u32,
    kind: ChangeKind,
}

impl Tried {
    /// A trial that failed.
    pub fn new(champion: &Guest, proposal: &Proposal, number: u64, kind: ChangeKind) -> Self {
        let Proposal { guest, operator, parent } = proposal;
        let (mut changes, mut steps) = (Vec::new(), Vec::new());
        for at in 0..CONSTANTS {
            let (from, to) = (champion.constants[at], guest.constants[at]);
            if from != to {
                changes.push(Change::Step { name: name(at), from, to });
                steps.push((at, to > from));
            }
        }
        let switched = (0..SWITCHES).filter(|at| champion.switches[*at] != guest.switches[*at]);
        changes.extend(switched.map(|at| edit(at, guest.switches[at])));
        let run = Run { champion: number, changes, result: Result::Failed };
        Self {
            guest: guest.clone(),
            operator: operator.clone(),
            parent: *parent,
            steps,
            run,
            kept: false,
            runs: 1,
            kind,
        }
    }

    pub fn measured(&mut self, gain: f64, pairs: u32, spread: Option<f64>, kept: bool) {
        self.run.result = Result::Measured(Measured { gain, pairs, spread, kind: self.kind, kept });
        (self.kept, self.runs) = (kept, pairs);
    }

    /// The measured gain; `None` if it failed.
    pub fn gain(&self) -> Option<f64> {
        match self.run.result {
            Result::Measured(measured) => Some(measured.gain),
            Result::Failed => None,
        }
    }
}

impl Arm {
    /// The next guest. `None` if everything was tried.
    pub fn propose(
        self,
        champion: &Guest,
        (tried, keeps): (&[Tried], u64),
        seen: &dyn Fn(&Guest) -> bool,
        seed: u64,
    ) -> Option<Proposal> {
        let random = &mut Random::new(seed, 7);
        let of_champion = tried.iter().rposition(|one| one.kept).map_or(0, |at| at + 1);
        let proposal = |(guest, operator)| Proposal { guest, operator, parent: of_champion };
        match self {
            Self::Random => (0..DRAWS)
                .find_map(|_| {
                    let mut guest = champion.clone();
                    let at = random.bits() as usize % (CONSTANTS + SWITCHES);
                    match at.checked_sub(CONSTANTS) {
                        None => guest.constants[at] += step(random, &STEPS[..5]),
                        Some(switch) => guest.switches[switch] ^= true,
                    }
                    (!seen(&guest)).then(|| (guest, if at < CONSTANTS { "constant".into() } else { "switch".into() }))
                })
                .map(proposal),
            Self::Greedy => greedy::propose(champion, tried, seen, random).map(proposal),
            Self::Model(parts) => model(champion, (tried, keeps), parts, seen, seed).map(proposal),
            Self::Archive { every } => {
                let drawn = tried.len().is_multiple_of(every).then(|| archive::parent(tried, every, random)).flatten();
                let parent = drawn.unwrap_or(of_champion);
                let guest = parent.checked_sub(1).map_or(&Guest::SEED, |at| &tried[at].guest);
                let (guest, operator) = model(guest, (tried, keeps), Parts::ALL, seen, seed)?;
                let operator = if parent == of_champion { operator } else { "archive".into() };
                Some(Proposal { guest, operator, parent })
            }
        }
    }
}

pub fn step(random: &mut Random, sizes: &[f64]) -> f64 {
    let size = random.pick(sizes).copied().unwrap_or_default();
    if random.chance(0.5) { size } else { -size }
}

fn model(
    champion: &Guest,
    (tried, keeps): (&[Tried], u64),
    parts: Parts,
    seen: &dyn Fn(&Guest) -> bool,
    seed: u64,
) -> Option<(Guest, String)> {
    let mut targets: Vec<(usize, f64)> = Vec::new();
    let mut moves = Vec::new();
    for at in 0..CONSTANTS {
        let from = champion.constants[at];
        for step in STEPS.iter().flat_map(|step| [*step, -step]) {
            moves.push(Move { changes: vec![Change::Step { name: name(at), from, to: from + step }], prior: 1 });
            targets.push((at, from + step));
        }
    }
    for at in (0..SWITCHES).filter(|at| !champion.switches[*at]) {
        moves.push(Move { changes: vec![edit(at, true)], prior: 1 });
        targets.push((CONSTANTS + at, 0.0));
    }
    let runs: Vec<Run> = tried.iter().map(|tried| tried.run.clone()).collect();
    let place = Place { champion: keeps, level: LEVEL, noise: SD, moves: &moves };
    let random = &mut Random::new(seed, 8);
    let chooser = Chooser::new(&runs, &place, parts, random);
    let make = |bundle: &Bundle| {
        let mut guest = champion.clone();
        for (at, value) in bundle.moves.iter().filter_map(|at| targets.get(*at)) {
            match at.checked_sub(CONSTANTS) {
                None => guest.constants[*at] = *value,
                Some(switch) => guest.switches[switch] = true,
            }
        }
        let operator = match bundle.moves.as_slice() {
            [one] if targets[*one].0 < CONSTANTS => "constant".into(),
            [one] => format!("switch {}", (targets[*one].0 - CONSTANTS) / 2),
            _ if bundle.are_near_misses => "near-misses".into(),
            _ => "bundle".into(),
        };
        (!bundle.moves.is_empty() && !seen(&guest)).then_some((guest, operator))
    };
    let near_misses = chooser.near_misses(tried.len() as u64 + 1).and_then(|bundle| make(&bundle));
    near_misses.or_else(|| (0..DRAWS).find_map(|_| make(&chooser.draw(random))))
}

fn name(at: usize) -> String {
    format!("C{at}")
}

/// A switch is on or off; off is what the seed guest has.
fn edit(at: usize, on: bool) -> Change {
    let (with, without) = (format!("switch {at}"), format!("no switch {at}"));
    let (made, instead_of) = if on { (with, without) } else { (without, with) };
    Change::Edit { made, instead_of: Some(instead_of) }
}
