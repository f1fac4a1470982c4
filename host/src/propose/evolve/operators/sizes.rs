//! Sizes of the model: depth for width and batch for sequence at about equal cost, and the size of heads.

use crate::propose::evolve::constants::{self, Constant, Value};
use crate::propose::evolve::operators::context::constants_in;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::training::training;
use crate::propose::evolve::operators::trunk::trunk;

/// An integer constant and its value.
type Size<'g> = (&'g Constant, i64);

/// The constant of that name, if it is an integer.
fn named<'g>(guest: &'g Guest, name: &str) -> Option<Size<'g>> {
    let constant = constants::named(&guest.constants, name)?;
    match constant.value {
        Value::Integer(value) => Some((constant, value)),
        Value::Float(_) => None,
    }
}

/// The number of layers: the end of the loop over them.
fn depth<'g>(guest: &'g Guest) -> Option<Size<'g>> {
    let layers = trunk(guest).and_then(|trunk| trunk.layers(guest));
    named(guest, layers.as_ref().map_or("DEPTH", |layers| &layers.depth))
}

/// The channels of a head: what products are divided by.
fn head<'g>(guest: &'g Guest) -> Option<Size<'g>> {
    let dims = guest.tree.calls_of("heads").filter_map(|call| guest.constant(call.node.args.first()?));
    named(guest, dims.map(|dim| dim.name.as_str()).next().unwrap_or("HEAD_DIM"))
}

/// The channels of the stream: what the table of tokens is made of and heads are not.
fn width<'g>(guest: &'g Guest) -> Option<Size<'g>> {
    let Some(trunk) = trunk(guest) else { return named(guest, "WIDTH") };
    let mut names = constants_in(guest, trunk.table.init, &trunk.table.statement);
    head(guest).map(|(head, _)| names.remove(&head.name));
    let mut sizes = names.iter().filter_map(|name| named(guest, name));
    let one = sizes.next()?;
    sizes.next().is_none().then_some(one)
}

/// The fewest channels that the stream may have: gates look at the first ones.
fn narrowest(guest: &Guest) -> i64 {
    let narrows = guest.tree.calls_of("narrow").filter(|call| call.node.args.len() == 3);
    let channels = narrows.filter(|call| guest.words(&call.node.args[0]) == "2");
    let counts = channels.filter_map(|call| named(guest, &guest.constant(&call.node.args[2])?.name));
    counts.map(|(_, count)| count).max().unwrap_or(1)
}

/// The cost of a layer grows with the square of the width. So `depth · width²` stays constant, as nearly as whole heads
/// allow.
pub fn depth_against_width(guest: &Guest) -> Vec<Change> {
    let (Some((depth, deep)), Some((width, wide))) = (depth(guest), width(guest)) else { return Vec::new() };
    let (head, narrowest) = (head(guest).map_or(8, |(_, head)| head.max(1)), narrowest(guest));
    let mut changes = Vec::new();
    for deeper in [deep / 2, deep - 2, deep - 1, deep + 1, deep + 2, deep.saturating_mul(2)] {
        if deeper < 1 || deeper == deep {
            continue;
        }
        let ideal = wide as f64 * (deep as f64 / deeper as f64).sqrt();
        let heads = ((ideal / head as f64).round() as i64).max(1);
        let narrower = heads.saturating_mul(head);
        if narrower != wide && narrower >= narrowest {
            changes.push(both("depth against width", (depth, deeper), (width, narrower)));
        }
    }
    changes.dedup();
    changes
}

/// Doubles one and halves the other, with the same number of tokens per step.
pub fn batch_against_sequence(guest: &Guest) -> Vec<Change> {
    let drawn = training(guest).map(|training| training.next_batch.args.iter().collect::<Vec<_>>());
    let sizes = match &drawn {
        Some(drawn) => [0, 1].map(|place| named(guest, &guest.constant(drawn.get(place)?)?.name)),
        None => ["BATCH", "SEQ"].map(|name| named(guest, name)),
    };
    let [Some((batch, rows)), Some((sequence, long))] = sizes else { return Vec::new() };
    let trades = [(rows.saturating_mul(2), long / 2, long % 2), (rows / 2, long.saturating_mul(2), rows % 2)];
    let whole = trades.into_iter().filter(|&(rows, long, rest)| rest == 0 && rows >= 1 && long >= 8);
    whole.map(|(rows, long, _)| both("batch against sequence", (batch, rows), (sequence, long))).collect()
}

/// Heads of twice or half the size. The width becomes the nearest multiple.
pub fn head_size(guest: &Guest) -> Vec<Change> {
    let (Some((head, dim)), Some((width, wide))) = (head(guest), width(guest)) else { return Vec::new() };
    let (mut changes, narrowest) = (Vec::new(), narrowest(guest));
    for new in [dim / 2, dim.saturating_mul(2)].into_iter().filter(|new| *new >= 4 && new % 2 == 0) {
        let nearest = ((wide as f64 / new as f64).round() as i64).max(1).saturating_mul(new);
        if nearest == wide {
            let (edit, words) = head.set(Value::Integer(new));
            changes.push(Change { description: format!("size of heads: {words}"), edits: vec![edit] });
        } else if nearest >= narrowest {
            changes.push(both("size of heads", (head, new), (width, nearest)));
        }
    }
    changes
}

fn both(what: &str, first: Size, second: Size) -> Change {
    let [first, second] = [first, second].map(|(constant, value)| constant.set(Value::Integer(value)));
    Change { description: format!("{what}: {}, {}", first.1, second.1), edits: vec![first.0, second.0] }
}
