//! Chooses the next edit from all edits that a text allows, weighted by the success of their kind in the history.

use crate::guest::source;
use crate::propose::evolve::constants::{self, Constant, Value};
use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::{Guest, OPERATORS, Site};
use crate::propose::evolve::random::Random;
use std::collections::BTreeMap;

/// Operator name for a step on one constant.
pub const CONSTANT: &str = "constant";
/// Operator name for steps on two constants at once.
pub const TWO_CONSTANTS: &str = "two constants";
/// Operator name for a new draw of all constants.
pub const SAMPLE: &str = "sample";

/// Number of random draws before the proposer lists all remaining edits.
const DRAWS: usize = 64;

/// A changed source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The whole new text.
    pub source: String,
    /// The change in one line: "WARMDOWN 0.5 → 0.35".
    pub description: String,
    /// Name of the operator that made it.
    pub operator: &'static str,
}

/// A trial in the form that the proposer learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The mutation's operator.
    pub operator: String,
    /// Constants that the mutation changed.
    pub steps: Vec<Step>,
    /// The champion's score minus the mutation's, in bits per byte (positive is better); `None` if the mutation failed.
    pub gain: Option<f64>,
    /// Whether it became the champion.
    pub kept: bool,
}

/// A change of one constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub name: String,
    /// Whether the value rose.
    pub up: bool,
}

/// The trials so far.
pub struct History<'a> {
    /// Trials, oldest first.
    pub trials: &'a [Trial],
    /// Whether a source was already tried. The caller chooses the key for the comparison.
    pub tried: &'a dyn Fn(&str) -> bool,
}

/// The offline proposer of one night.
#[derive(Clone, Copy, Debug)]
pub struct Evolve {
    /// The night's random seed.
    pub random_seed: u64,
}

impl Evolve {
    /// The next mutation of `parent` for trial number `trial`. `None` if the parent does not parse, or if everything
    /// one step away was already tried.
    pub fn propose(&self, parent: &str, history: &History, trial: u64) -> Option<Mutation> {
        let catalogue = Catalogue::of(parent)?;
        let weights = catalogue.weights(history.trials);
        let mut random = Random::new(self.random_seed, trial);
        let new = |m: &Mutation| m.source != parent && !(history.tried)(&m.source);
        let drawn = (0..DRAWS).find_map(|_| catalogue.draw(parent, &weights, &mut random).filter(new));
        drawn.or_else(|| catalogue.all(parent).find(new))
    }
}

/// Draws all searchable constants again around their values, log-uniformly within a factor of `spread`.
pub fn sample_constants(text: &str, random: &mut Random, spread: f64) -> Option<Mutation> {
    let catalogue = Catalogue::of(text)?;
    let (edits, description) = constants::sample(&catalogue.constants, random, spread)?;
    Some(Mutation { source: edit::apply(text, &edits)?, description, operator: SAMPLE })
}

/// The searchable constants of a text; empty if it does not parse.
pub fn constants_of(text: &str) -> Vec<Constant> {
    source::look(text, |syntax| Guest::new(&syntax.file, syntax.text).constants).unwrap_or_default()
}

/// The constants of a parent that a child sets to another value, for [`Trial::steps`].
pub fn steps_between(before: &[Constant], child: &str) -> Vec<Step> {
    let after = constants_of(child);
    let pairs = before.iter().filter_map(|b| Some((b, constants::named(&after, &b.name)?)));
    pairs
        .filter(|(b, a)| b.value != a.value)
        .map(|(b, a)| Step { name: b.name.clone(), up: a.value.number() > b.value.number() })
        .collect()
}

/// All possible changes of one text, independent of its syntax tree.
struct Catalogue {
    constants: Vec<Constant>,
    sites: BTreeMap<&'static str, Vec<Site>>,
}

/// What the history says about a catalogue. All draws of one proposal share it.
struct Weights {
    operators: Vec<&'static str>,
    operator_weights: Vec<f64>,
    /// By constant.
    momenta: Vec<f64>,
}

impl Catalogue {
    fn of(text: &str) -> Option<Self> {
        source::look(text, |syntax| {
            let guest = Guest::new(&syntax.file, syntax.text);
            let found = OPERATORS.iter().map(|operator| (operator.name, (operator.sites)(&guest)));
            let sites = found.filter(|(_, sites)| !sites.is_empty()).collect();
            Self { constants: guest.constants, sites }
        })
        .ok()
    }

    /// Every mutation one step away: each structural operator at each site, and each step of each constant.
    fn all<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Mutation> + 'a {
        let structural = self.sites.values().flatten().filter_map(move |site| mutation(text, site));
        let steps = self.constants.iter().flat_map(move |constant| {
            let values = constant.steps(true).into_iter().chain(constant.steps(false));
            values.filter_map(move |value| self.set(text, CONSTANT, &[(constant, value)]))
        });
        structural.chain(steps)
    }

    fn weights(&self, trials: &[Trial]) -> Weights {
        let mut names = vec![(CONSTANT, 6.0), (TWO_CONSTANTS, 1.5)];
        names.extend(self.sites.keys().map(|name| (*name, 1.0)));
        let (operators, operator_weights) =
            names.into_iter().map(|(name, base)| (name, base * success(name, trials))).unzip();
        let momenta = self.constants.iter().map(|c| momentum(&c.name, trials)).collect();
        Weights { operators, operator_weights, momenta }
    }

    /// Draws an operator in proportion to its success, then a place for it.
    fn draw(&self, text: &str, weights: &Weights, random: &mut Random) -> Option<Mutation> {
        match *weights.operators.get(random.weighted(&weights.operator_weights)?)? {
            CONSTANT => self.set(text, CONSTANT, &[self.step(weights, random)?]),
            TWO_CONSTANTS => {
                let (first, second) = (self.step(weights, random)?, self.step(weights, random)?);
                (first.0.name != second.0.name).then_some(())?;
                self.set(text, TWO_CONSTANTS, &[first, second])
            }
            name => mutation(text, random.pick(self.sites.get(name)?)?),
        }
    }

    /// Draws a constant and its new value. Constants with earlier gains are drawn more often, in the direction of the
    /// gain.
    fn step(&self, weights: &Weights, random: &mut Random) -> Option<(&Constant, Value)> {
        let steps: Vec<f64> = weights.momenta.iter().map(|m| 1.0 + m.abs()).collect();
        let index = random.weighted(&steps)?;
        let up = random.chance(1.0 / (1.0 + (-weights.momenta.get(index)?).exp()));
        let constant = self.constants.get(index)?;
        Some((constant, *random.pick(&constant.steps(up))?))
    }

    fn set(&self, text: &str, operator: &'static str, changes: &[(&Constant, Value)]) -> Option<Mutation> {
        let changed = |name: &str| changes.iter().find(|(c, _)| c.name == name).map(|(_, v)| *v);
        let value = |name: &str| changed(name).or_else(|| Some(constants::named(&self.constants, name)?.value));
        if !constants::can_run(value) {
            return None;
        }
        let (edits, words): (Vec<Edit>, Vec<String>) = changes.iter().map(|(c, v)| c.set(*v)).unzip();
        Some(Mutation { source: edit::apply(text, &edits)?, description: words.join(", "), operator })
    }
}

fn mutation(text: &str, site: &Site) -> Option<Mutation> {
    let source = edit::apply(text, &site.edits)?;
    Some(Mutation { source, description: site.description.clone(), operator: site.operator })
}

/// Relative success of an operator: 1 before any trial. Kept trials raise it, and other trials lower it.
fn success(operator: &str, trials: &[Trial]) -> f64 {
    let of = trials.iter().filter(|t| t.operator == operator);
    let (tries, kept) = of.fold((0.0, 0.0), |(n, k), t| (n + 1.0, k + f64::from(u8::from(t.kept))));
    (1.0 + 8.0 * kept) / (1.0 + 0.25 * tries)
}

/// The direction in which a constant should move: positive is up. A kept trial counts three; a failure or loss counts
/// one against its direction. Later trials count more.
fn momentum(name: &str, trials: &[Trial]) -> f64 {
    const DECAY: f64 = 0.7;
    let steps = trials.iter().flat_map(|t| t.steps.iter().map(move |s| (s, t))).filter(|(s, _)| s.name == name);
    steps.fold(0.0, |momentum, (step, trial)| {
        let direction = if step.up { 1.0 } else { -1.0 };
        let push = match trial.gain {
            _ if trial.kept => 3.0,
            Some(gain) if gain > 0.0 => 0.5,
            Some(_) | None => -1.0,
        };
        DECAY * momentum + direction * push
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    /// A guest with every feature that an operator looks for.
    const GUEST: &str = r#"//! A guest.
const DEPTH: usize = 4; // layers
const WIDTH: usize = 128;
const HEAD_DIM: usize = 32;
const WINDOWS: &[usize] = &[64, 0]; // by layer
const SOFTCAP: f32 = 15.0;
const BATCH: usize = 16;
const SEQ: usize = 128;
const MATRIX_LR: f32 = 0.02; // Muon
const EMBED_LR: f32 = 0.05;
const WARMDOWN: f32 = 0.5; // é
const FINAL_LR: f32 = 0.05;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let mut x = net.embed("wte", tokens).rms_norm();
    for layer in 0..DEPTH {
        x = &x + attention(net, layer, &x.rms_norm(), tokens);
        x = &x + mlp(net, layer, x.rms_norm());
    }
    x.rms_norm().linear(&net.weight("head")).softcap(SOFTCAP)
}

fn mlp(net: &Net, layer: usize, x: Tensor) -> Tensor {
    x.linear(&net.weight(("fc", layer))).relu_squared()
}

/// Rates.
fn schedule(progress: f32) -> f32 {
    let left = (1.0 - progress) / WARMDOWN;
    if left < 1.0 { FINAL_LR + (1.0 - FINAL_LR) * left } else { 1.0 }
}
"#;

    fn descriptions(operator: &str) -> Vec<String> {
        all_mutations(GUEST).into_iter().filter(|m| m.operator == operator).map(|m| m.description).collect()
    }

    fn made(description: &str) -> String {
        let found = all_mutations(GUEST).into_iter().find(|m| m.description == description);
        found.unwrap_or_else(|| panic!("{description}")).source
    }

    fn all_mutations(text: &str) -> Vec<Mutation> {
        Catalogue::of(text).map(|c| c.all(text).collect()).unwrap_or_default()
    }

    #[test]
    fn all_mutations_parse() {
        let all = all_mutations(GUEST);
        for m in &all {
            assert!(source::look(&m.source, |_| ()).is_ok(), "{}:\n{}", m.description, m.source);
            assert_ne!(m.source, GUEST, "{}", m.description);
            assert!(m.source.contains("// é") && !m.description.contains('\n'));
        }
    }

    #[test]
    fn structural_edits_say_what_they_do() {
        assert!(descriptions("activation").contains(&"activation in mlp: relu² → gelu".to_owned()));
        assert_eq!(made("activation in mlp: relu² → gelu"), GUEST.replace("relu_squared", "gelu"));
        assert_eq!(made("softcap in model: off"), GUEST.replace(".softcap(SOFTCAP)", ""));
        assert_eq!(made("windows [64, 0] → [64, 64, 0]"), GUEST.replace("[64, 0]", "[64, 64, 0]"));
        let trade = made("batch against sequence: BATCH 16 → 32, SEQ 128 → 64");
        assert_eq!(
            trade,
            GUEST.replace("BATCH: usize = 16", "BATCH: usize = 32").replace("SEQ: usize = 128", "SEQ: usize = 64")
        );
        assert!(made("depth against width: DEPTH 4 → 8, WIDTH 128 → 96").contains("DEPTH: usize = 8; // layers"));
        let behind = made("norm in model: before each branch → after it");
        assert!(behind.contains("attention(net, layer, &x, tokens).rms_norm();"), "{behind}");
        assert!(behind.contains("mlp(net, layer, x.clone()).rms_norm();"), "{behind}");
        let warm = made("schedule: a warm-up over 2% of the budget");
        assert!(warm.contains("const WARMUP: f32 = 0.02;") && warm.contains("warmup * ({ if left < 1.0"), "{warm}");
    }

    #[test]
    fn proposals_are_reproducible_and_never_repeat() {
        let run = || {
            let seen = RefCell::new(BTreeSet::new());
            let tried = |text: &str| seen.borrow().contains(text);
            let mut said = Vec::new();
            for trial in 0..40 {
                let history = History { trials: &[], tried: &tried };
                let m = Evolve { random_seed: 1337 }.propose(GUEST, &history, trial).unwrap();
                assert!(seen.borrow_mut().insert(m.source), "{}", m.description);
                said.push(m.description);
            }
            said
        };
        assert_eq!(run(), run());
        let all_tried = History { trials: &[], tried: &|_| true };
        assert_eq!(Evolve { random_seed: 1 }.propose(GUEST, &all_tried, 0), None);
        let open = History { trials: &[], tried: &|_| false };
        assert_eq!(Evolve { random_seed: 1 }.propose("fn (", &open, 0), None);
    }

    /// Number of proposals per description, over many trials.
    fn tally(trials: &[Trial]) -> (BTreeMap<&'static str, usize>, usize, usize) {
        let history = History { trials, tried: &|_| false };
        let (mut operators, mut up, mut down) = (BTreeMap::new(), 0, 0);
        for trial in 0..300 {
            let m = Evolve { random_seed: 5 }.propose(GUEST, &history, trial).unwrap();
            *operators.entry(m.operator).or_default() += 1;
            let steps =
                if m.operator == CONSTANT { steps_between(&constants_of(GUEST), &m.source) } else { Vec::new() };
            for step in steps.iter().filter(|s| s.name == "MATRIX_LR") {
                if step.up { up += 1 } else { down += 1 }
            }
        }
        (operators, up, down)
    }

    #[test]
    fn history_changes_what_is_proposed() {
        let (before, up_before, _) = tally(&[]);
        let kept = Trial {
            operator: CONSTANT.into(),
            steps: vec![Step { name: "MATRIX_LR".into(), up: true }],
            gain: Some(0.01),
            kept: true,
        };
        let (_, up, down) = tally(&[kept]);
        assert!(up > 2 * up_before && up > 4 * down, "{up_before} {up} {down}");
        let failed = Trial { operator: "norm".into(), steps: vec![], gain: None, kept: false };
        let (after, ..) = tally(&vec![failed; 20]);
        assert!(after.get("norm").copied().unwrap_or(0) * 2 < before["norm"], "{before:?} {after:?}");
    }

    #[test]
    fn a_deeply_nested_source_does_not_end_the_host() {
        let depth = 2000;
        let text = format!("const A: usize = {}1{};", "(".repeat(depth), ")".repeat(depth));
        let _ = all_mutations(&text);
    }

    #[test]
    fn samples_move_many_constants_at_once() {
        let m = sample_constants(GUEST, &mut Random::new(1, 1), 2.0).unwrap();
        assert!(steps_between(&constants_of(GUEST), &m.source).len() > 3, "{}", m.description);
    }
}
