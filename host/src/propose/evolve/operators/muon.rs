//! Muon: what it does to gradients and updates, its decay and momentum.

use crate::propose::evolve::constants::Value;
use crate::propose::evolve::edit;
use crate::propose::evolve::operators::arguments::{scaled_argument, set, set_argument, value};
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::training::training;
use crate::propose::evolve::operators::tree::{Found, is_place};
use syn::{Expr, ExprCall};

/// The only call of `Muon::new`, with its four arguments.
fn muon<'a>(guest: &Guest<'a>) -> Option<Found<'a, ExprCall>> {
    let mut made = guest.tree.constructors("Muon", "new").filter(|made| made.node.args.len() == 4);
    let one = made.next()?.clone();
    made.next().is_none().then_some(one)
}

fn is_called(guest: &Guest, method: &str) -> bool {
    guest.tree.calls_of(method).next().is_some()
}

/// A method behind `Muon::new(…)`, with its constants.
fn with(guest: &Guest, method: &str, argument: &str, brings: &[(&str, &str, &str, &str)], words: &str) -> Vec<Change> {
    let change = || {
        let mut draft = Draft::new(guest).unless(is_called(guest, method));
        for (name, ty, value, meaning) in brings {
            draft = draft.constant(name, ty, value, meaning);
        }
        draft.append(&muon(guest)?.range, format!(".{method}({argument})")).done(words)
    };
    change().into_iter().collect()
}

pub fn cautious_decay(guest: &Guest) -> Vec<Change> {
    with(guest, "cautious", "", &[], "Muon: decay only where the update makes a weight smaller")
}

pub fn equal_rows(guest: &Guest) -> Vec<Change> {
    with(guest, "equal_rows", "", &[], "Muon: rows normalised before the orthogonalisation")
}

pub fn normalized_rows(guest: &Guest) -> Vec<Change> {
    let memory = ("ROW_MEMORY", "f32", "0.95", "Muon: decay of the mean square of an update's rows");
    with(guest, "normalize_rows", "ROW_MEMORY", &[memory], "Muon: rows normalised after the orthogonalisation")
}

pub fn per_head(guest: &Guest) -> Vec<Change> {
    let dims = guest.tree.calls_of("heads").filter_map(|call| guest.constant(call.node.args.first()?));
    match dims.map(|constant| constant.name.clone()).next() {
        Some(dim) => with(guest, "in_blocks", &dim, &[], "Muon: each head orthogonalised on its own"),
        None => Vec::new(),
    }
}

/// Polar Express, or another number of steps.
pub fn orthogonalization(guest: &Guest) -> Vec<Change> {
    let polar = with(
        guest,
        "orthogonalize_by",
        "&POLAR_EXPRESS",
        &[],
        "Muon: orthogonalised by the five steps of Polar Express",
    );
    if polar.is_empty() {
        return polar;
    }
    let steps = muon(guest).and_then(|muon| guest.constant(&muon.node.args[2]).cloned());
    let fewer = steps.into_iter().flat_map(|constant| {
        let others = [3, 5, 7].into_iter().filter_map(move |new| set(&constant, Value::Integer(new), "Muon"));
        others.collect::<Vec<_>>()
    });
    polar.into_iter().chain(fewer).collect()
}

/// More or less weight decay of matrices.
pub fn weight_decay(guest: &Guest) -> Vec<Change> {
    let Some(muon) = muon(guest) else { return Vec::new() };
    let (argument, names) = (&muon.node.args[3], ("MATRIX_DECAY", "weight decay of matrices"));
    match value(guest, argument) {
        Some(0.0) => [0.03, 0.1, 0.3].into_iter().filter_map(|new| set_argument(guest, argument, names, new)).collect(),
        Some(_) => {
            [0.3, 2.0, 5.0, 15.0].into_iter().filter_map(|f| scaled_argument(guest, argument, names, f)).collect()
        }
        None => Vec::new(),
    }
}

/// A call before each step that sets something of Muon: the words of its new value, made of the old one's.
fn scheduled<'g, 'a>(
    guest: &'g Guest<'a>,
    setter: &str,
    argument: usize,
    wrap: impl Fn(&str, &str) -> String,
) -> Option<Draft<'g, 'a>> {
    let (training, muon) = (training(guest)?, muon(guest)?);
    let steps = training.steps(guest, "Muon");
    let ([step], draft) = (&steps[..], Draft::new(guest)) else { return None };
    let mut set = guest.tree.calls_of(setter).filter(|call| call.node.args.len() == 1);
    if let Some(there) = set.next() {
        let now = &there.node.args[0];
        return set
            .next()
            .is_none()
            .then(|| draft.replace(&edit::range(now), wrap(&format!("({})", guest.words(now)), &training.lab)));
    }
    let now = &muon.node.args[argument];
    let literal = matches!(now, Expr::Lit(_));
    (literal || is_place(now) && guest.constant(now).is_some()).then_some(())?;
    let new = wrap(guest.words(now), &training.lab);
    Some(draft.before(&step.statement, &format!("{}.{setter}({new});", step.optimizer)))
}

pub fn momentum_warm_up(guest: &Guest) -> Vec<Change> {
    let change = || {
        scheduled(guest, "set_momentum", 1, |now, lab| {
            format!("{now} - MOMENTUM_RISE * (1.0 - {lab}.progress() / MOMENTUM_WARMUP).max(0.0)")
        })?
        .number("MOMENTUM_RISE", "0.1", "Muon: how much the momentum rises at first")
        .number("MOMENTUM_WARMUP", "0.2", "Muon: share of the budget over which it rises")
        .done("Muon: momentum that rises over the first fifth of the budget")
    };
    change().into_iter().collect()
}

pub fn momentum_cool_down(guest: &Guest) -> Vec<Change> {
    let change = || {
        scheduled(guest, "set_momentum", 1, |now, lab| {
            format!("{now} - MOMENTUM_FALL * (1.0 - (1.0 - {lab}.progress()) / MOMENTUM_COOLDOWN).max(0.0)")
        })?
        .number("MOMENTUM_FALL", "0.07", "Muon: how much the momentum falls at the end")
        .number("MOMENTUM_COOLDOWN", "0.2", "Muon: share of the budget over which it falls")
        .done("Muon: momentum that falls over the last fifth of the budget")
    };
    change().into_iter().collect()
}

/// Weight decay that falls with the budget: linearly, or as a cosine.
pub fn falling_decay(guest: &Guest) -> Vec<Change> {
    if is_called(guest, "set_weight_decay") {
        return Vec::new();
    }
    let linear = scheduled(guest, "set_weight_decay", 3, |now, lab| format!("{now} * (1.0 - {lab}.progress())"));
    let cosine = scheduled(guest, "set_weight_decay", 3, |now, lab| {
        format!("{now} * 0.5 * (1.0 + (core::f32::consts::PI * {lab}.progress()).cos())")
    });
    let is_off = muon(guest).is_none_or(|muon| value(guest, &muon.node.args[3]) == Some(0.0));
    let linear = linear.and_then(|draft| draft.unless(is_off).done("weight decay of matrices: falling linearly to 0"));
    let cosine =
        cosine.and_then(|draft| draft.unless(is_off).done("weight decay of matrices: falling as a cosine to 0"));
    linear.into_iter().chain(cosine).collect()
}
