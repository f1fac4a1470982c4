//! Proposes the next mutation: finds all changes that a text allows, has the model choose some of them, and makes them.

use crate::guest::source;
use crate::propose::evolve::carried::{Carried, PATCH, Written};
use crate::propose::evolve::constants::{self, Constant, Value, coordinates};
use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::model::change::{self, Change};
use crate::propose::evolve::model::choose::{Bundle, Chooser};
use crate::propose::evolve::model::moves::{Move, Place};
use crate::propose::evolve::model::parts::Parts;
use crate::propose::evolve::model::run::Run;
use crate::propose::evolve::operators::{Guest, OPERATORS, Operator, Prior, Site};
use crate::propose::evolve::random::Random;
use crate::propose::patch::Text;

/// Operator name for a step on one constant.
pub const CONSTANT: &str = "constant";
/// Operator name for steps on several constants.
pub const CONSTANTS: &str = "constants";
/// Operator name for several changes, with an edit among them.
pub const BUNDLE: &str = "bundle";
/// Operator name for changes that were measured as gains but not kept, tried together.
pub const NEAR_MISSES: &str = "near-misses";
/// Operator name for a new draw of all constants.
pub const SAMPLE: &str = "sample";

/// Number of bundles that are drawn before the proposer lists all single changes.
const DRAWS: usize = 64;
/// Longest description in characters. A record holds this whole, and the model reads it there.
const LONGEST: usize = 900;

/// A changed source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The whole new text.
    pub source: String,
    /// The changes in one line: "softcap in model: off; WARMDOWN 0.5 → 0.35, LR 0.02 → 0.03".
    pub description: String,
    /// Name of the operator that made it.
    pub operator: &'static str,
}

/// The champion.
#[derive(Clone, Copy, Debug)]
pub struct Champion<'a> {
    pub source: &'a str,
    /// Number of its trial.
    pub number: u64,
    pub bpb: f64,
    /// Standard deviation of a score between random seeds.
    pub noise: f64,
}

/// The trials so far.
pub struct History<'a> {
    /// What they taught, oldest first.
    pub runs: &'a [Run],
    /// Whether a source was already tried. The caller chooses the key for the comparison.
    pub tried: &'a dyn Fn(&str) -> bool,
    /// What others wrote, as far as it may be carried onto the champion.
    pub written: &'a [Written],
}

/// The offline proposer of one night.
#[derive(Clone, Copy, Debug)]
pub struct Evolve {
    /// The night's random seed.
    pub random_seed: u64,
    pub parts: Parts,
}

impl Evolve {
    /// The next mutation of the champion for trial number `trial`. `None` if the champion does not parse, or if
    /// everything one step away was already tried.
    pub fn propose(&self, champion: &Champion, history: &History, trial: u64) -> Option<Mutation> {
        let mut catalogue = Catalogue::of(champion.source)?;
        if self.parts.patches && !history.written.is_empty() {
            catalogue.carried = Carried::all(history.written, &Text::parse(champion.source).ok()?);
        }
        let moves: Vec<Move> = catalogue.moves();
        let &Champion { number, bpb, noise, .. } = champion;
        let place = Place { champion: number, level: bpb, noise, moves: &moves };
        let mut random = Random::new(self.random_seed, trial);
        let chooser = Chooser::new(history.runs, &place, self.parts, &mut random);
        let new = |m: &Mutation| m.source != champion.source && !(history.tried)(&m.source);
        let first = chooser.near_misses(trial).and_then(|bundle| catalogue.make(champion.source, &bundle));
        let drawn = || (0..DRAWS).find_map(|_| catalogue.make(champion.source, &chooser.draw(&mut random)).filter(new));
        first.filter(new).or_else(drawn).or_else(|| catalogue.all(champion.source).find(new))
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

/// A change that a text allows.
#[derive(Clone, Debug)]
pub struct Possible {
    /// The operator that makes it, if one does.
    pub operator: Option<&'static str>,
    /// The change in words.
    pub words: String,
    pub change: Move,
}

/// All changes that a text allows; empty if it does not parse.
pub fn possible(text: &str) -> Vec<Possible> {
    let Some(catalogue) = Catalogue::of(text) else { return Vec::new() };
    let sites = catalogue.sites.iter().map(|(site, _)| (site.operator, site.description.clone()));
    let steps = catalogue.steps.iter().filter_map(|(at, value)| {
        let (_, words) = catalogue.constants.get(*at)?.set(*value);
        Some((CONSTANT, words))
    });
    let named = sites.chain(steps).zip(catalogue.moves());
    named.map(|((operator, words), change)| Possible { operator: Some(operator), words, change }).collect()
}

/// All possible changes of one text, independent of its syntax tree.
struct Catalogue {
    constants: Vec<Constant>,
    sites: Vec<(Site, Prior)>,
    /// What others wrote.
    carried: Vec<Carried>,
    /// A constant by its index, and its new value.
    steps: Vec<(usize, Value)>,
}

impl Catalogue {
    fn of(text: &str) -> Option<Self> {
        source::look(text, |syntax| {
            let guest = Guest::new(&syntax.file, syntax.text);
            let of = |operator: &Operator| {
                let prior = operator.prior;
                (operator.sites)(&guest).into_iter().map(move |site| (site, prior)).collect::<Vec<_>>()
            };
            let sites = OPERATORS.iter().flat_map(of).collect();
            let both = |constant: &Constant| constant.steps(true).into_iter().chain(constant.steps(false));
            let of_constant = |(at, constant)| both(constant).map(move |value| (at, value));
            let steps = guest.constants.iter().enumerate().flat_map(of_constant).collect();
            Self { constants: guest.constants, sites, carried: Vec::new(), steps }
        })
        .ok()
    }

    /// The sites, then what others wrote, then the steps of constants, as the model sees them.
    fn moves(&self) -> Vec<Move> {
        let sites = self
            .sites
            .iter()
            .map(|(site, prior)| Move { changes: change::read(&site.description), prior: prior.level() });
        let steps = self.steps.iter().filter_map(|(at, value)| {
            let Constant { name, value: now, .. } = self.constants.get(*at)?;
            let [from, to] = coordinates(name, now.number(), value.number());
            Some(Move { changes: vec![Change::Step { name: name.clone(), from, to }], prior: Prior::Possible.level() })
        });
        let carried = self.carried.iter().map(|carried| carried.as_move(Prior::Possible.level()));
        sites.chain(carried).chain(steps).collect()
    }

    /// Every mutation one step away: each structural operator at each site, each part of what others wrote, and each
    /// step of each constant.
    fn all<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Mutation> + 'a {
        let single = |at| Bundle { moves: vec![at], are_near_misses: false };
        (0..self.sites.len() + self.carried.len() + self.steps.len()).filter_map(move |at| self.make(text, &single(at)))
    }

    /// Makes the changes of a bundle, edits before constants. What does not fit after the others is left out.
    fn make(&self, text: &str, bundle: &Bundle) -> Option<Mutation> {
        let mut source = text.to_owned();
        let mut words: Vec<String> = Vec::new();
        let mut operators = Vec::new();
        for (site, _) in bundle.moves.iter().filter_map(|at| self.sites.get(*at)) {
            let Some(next) = again(&source, text, site) else { continue };
            source = next;
            words.push(site.description.clone());
            operators.push(site.operator);
        }
        let beyond = |count: usize| bundle.moves.iter().filter_map(move |at| at.checked_sub(count));
        for carried in beyond(self.sites.len()).filter_map(|at| self.carried.get(at)) {
            let Some(next) = carried.onto(&source) else { continue };
            source = next;
            words.push(carried.words());
            operators.push(PATCH);
        }
        let steps = beyond(self.sites.len() + self.carried.len()).filter_map(|at| self.steps.get(at));
        let steps: Vec<(&str, Value)> =
            steps.filter_map(|(at, value)| Some((self.constants.get(*at)?.name.as_str(), *value))).collect();
        let set = if steps.is_empty() { Vec::new() } else { set(&mut source, &steps)? };
        let operator = match (operators.as_slice(), set.len()) {
            ([], 0) => return None,
            ([one], 0) => one,
            ([], 1) => CONSTANT,
            _ if bundle.are_near_misses => NEAR_MISSES,
            ([], _) => CONSTANTS,
            (_, _) => BUNDLE,
        };
        if !set.is_empty() {
            words.push(set.join(", "));
        }
        let description = words.join(change::BETWEEN);
        (description.chars().count() <= LONGEST).then_some(Mutation { source, description, operator })
    }
}

/// The text after an edit that was found in the text before others: the operator looks for it again.
fn again(source: &str, first: &str, site: &Site) -> Option<String> {
    if source == first {
        return edit::apply(source, &site.edits);
    }
    let wanted = change::read(&site.description);
    let made = |changes: &[Change]| match changes {
        [Change::Edit { made, .. }] => Some(made.clone()),
        _ => None,
    };
    let edits = source::look(source, |syntax| {
        let guest = Guest::new(&syntax.file, syntax.text);
        let operator = OPERATORS.iter().find(|operator| operator.name == site.operator)?;
        let is_same = |other: &Site| match (made(&wanted), made(&change::read(&other.description))) {
            (Some(wanted), Some(made)) => wanted == made,
            (_, _) => other.description == site.description,
        };
        (operator.sites)(&guest).into_iter().find(is_same).map(|site| site.edits)
    });
    edit::apply(source, &edits.ok()??)
}

/// Sets constants, and says it in words. `None` if the text could not run with them.
fn set(source: &mut String, steps: &[(&str, Value)]) -> Option<Vec<String>> {
    let constants = constants_of(source);
    let changed = |name: &str| steps.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    if !constants::can_run(|name| changed(name).or_else(|| Some(constants::named(&constants, name)?.value))) {
        return None;
    }
    let found = steps.iter().filter_map(|(name, value)| Some((constants::named(&constants, name)?, *value)));
    let (edits, words): (Vec<Edit>, Vec<String>) = found.map(|(constant, value)| constant.set(value)).unzip();
    *source = edit::apply(source, &edits)?;
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::evolve::model::run::{Measured, Result as Found};
    use crate::record::trial::ChangeKind;
    use std::cell::RefCell;
    use std::collections::BTreeSet;

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

    fn champion(source: &str) -> Champion<'_> {
        Champion { source, number: 0, bpb: 2.2, noise: 0.008 }
    }

    const EVOLVE: Evolve = Evolve { random_seed: 5, parts: Parts::ALL };

    #[test]
    fn proposals_are_reproducible_and_never_repeat() {
        let night = || {
            let seen = RefCell::new(BTreeSet::new());
            let tried = |text: &str| seen.borrow().contains(text);
            let mut said = Vec::new();
            for trial in 0..40 {
                let history = History { runs: &[], tried: &tried, written: &[] };
                let m = EVOLVE.propose(&champion(GUEST), &history, trial).unwrap();
                assert!(source::look(&m.source, |_| ()).is_ok() && m.source != GUEST, "{}", m.description);
                assert!(seen.borrow_mut().insert(m.source), "{}", m.description);
                said.push(m.description);
            }
            said
        };
        assert_eq!(night(), night());
        let all_tried = History { runs: &[], tried: &|_| true, written: &[] };
        assert_eq!(EVOLVE.propose(&champion(GUEST), &all_tried, 0), None);
        let open = History { runs: &[], tried: &|_| false, written: &[] };
        assert_eq!(EVOLVE.propose(&champion("fn ("), &open, 0), None);
    }

    /// Descriptions of many proposals.
    fn proposals(runs: &[Run]) -> Vec<String> {
        let history = History { runs, tried: &|_| false, written: &[] };
        (0..100).filter_map(|trial| EVOLVE.propose(&champion(GUEST), &history, trial)).map(|m| m.description).collect()
    }

    fn share(of: &[String], with: impl Fn(&str) -> bool) -> f64 {
        of.iter().filter(|words| with(words)).count() as f64 / of.len() as f64
    }

    #[test]
    fn what_gained_is_proposed_more_and_what_lost_less() {
        let run = |description: &str, gain| Run {
            champion: 0,
            changes: change::read(description),
            result: Found::Measured(Measured {
                gain,
                pairs: 2,
                spread: Some(0.001),
                kind: ChangeKind::Structure,
                kept: false,
            }),
        };
        let before = proposals(&[]);
        let runs = [run("MATRIX_LR 0.02 → 0.024", 0.02), run("softcap in model: off", -0.05)];
        let after = proposals(&runs);
        let up = |words: &str| {
            change::read(words)
                .iter()
                .any(|c| matches!(c, Change::Step { name, from, to } if name == "MATRIX_LR" && to > from))
        };
        let off = |words: &str| words.contains("softcap in model: off");
        assert!(share(&after, up) > 1.5 * share(&before, up), "{after:?}");
        assert!(share(&after, off) < 0.5 * share(&before, off), "{after:?}");
    }

    #[test]
    fn a_description_lists_the_changes_and_the_operator_says_of_which_kind_they_are() {
        let catalogue = Catalogue::of(GUEST).unwrap();
        let moves = catalogue.moves();
        let at = |description: &str| {
            let wanted = change::read(description);
            moves.iter().position(|m| m.changes == wanted).unwrap_or_else(|| panic!("{description}"))
        };
        let make = |parts: &[&str]| {
            let bundle = Bundle { moves: parts.iter().map(|part| at(part)).collect(), are_near_misses: false };
            catalogue.make(GUEST, &bundle).unwrap()
        };
        let (off, rate, cap) = ("softcap in model: off", "MATRIX_LR 0.02 → 0.024", "EMBED_LR 0.05 → 0.1");
        let all = make(&[rate, off, cap, "activation in mlp: relu² → gelu"]);
        assert_eq!(
            (all.description.as_str(), all.operator),
            (
                "softcap in model: off; activation in mlp: relu² → gelu; MATRIX_LR 0.02 → 0.024, EMBED_LR 0.05 → 0.1",
                BUNDLE
            )
        );
        assert!(all.source.contains("gelu()") && all.source.contains("MATRIX_LR: f32 = 0.024;"), "{}", all.source);
        assert!(!all.source.contains("softcap(") && all.source.contains("EMBED_LR: f32 = 0.1;"), "{}", all.source);
        let operators = [make(&[off]), make(&[rate]), make(&[rate, cap])].map(|m| m.operator);
        assert_eq!(operators, ["no softcap", CONSTANT, CONSTANTS]);
        assert_eq!(change::read(&all.description).len(), 4);
    }

    #[test]
    fn with_patches_what_others_wrote_is_carried_onto_the_champion() {
        let parent = GUEST.replace("const DEPTH: usize = 4;", "const DEPTH: usize = 2;");
        let child = parent.replace("x.rms_norm().linear(&net", "x.tanh().rms_norm().linear(&net");
        let [before, after] = [&parent, &child].map(|text| Text::parse(text).unwrap());
        let written = [Written { number: 7, patch: crate::propose::patch::Patch::between(&before, &after).into() }];
        let measured = Measured { gain: 0.01, pairs: 2, spread: Some(0.004), kind: ChangeKind::Structure, kept: false };
        let run = Run { champion: 5, changes: written[0].changes(), result: Found::Measured(measured) };
        let history = History { runs: &[run], tried: &|_| false, written: &written };
        let carried = |parts| {
            let evolve = Evolve { random_seed: 5, parts };
            let made = (0..20).filter_map(|trial| evolve.propose(&champion(GUEST), &history, trial));
            made.filter(|m| m.description.contains("part 1 of #7: ")).collect::<Vec<_>>()
        };
        let with = carried(Parts::ALL);
        assert!(!with.is_empty() && with.iter().all(|m| m.source.contains("x.tanh()")), "{with:?}");
        assert_eq!(carried(Parts { patches: false, ..Parts::ALL }), []);
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
        assert!(change::read(&m.description).len() > 3, "{}", m.description);
    }
}
