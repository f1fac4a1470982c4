//! Attention: what queries, keys and outputs go through, positions, windows.

use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::arguments::scaled_argument;
use crate::propose::evolve::operators::context::{Context, Heads, heads, scalar_group};
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::parameters::read;
use crate::propose::evolve::operators::training::{PROGRESS, training};
use crate::propose::evolve::operators::trunk::trunk;
use std::ops::Range;
use syn::{Expr, ExprMethodCall};

/// A call of attention.
pub struct Attention<'a> {
    pub call: &'a ExprMethodCall,
    pub range: Range<usize>,
    pub q: &'a Expr,
    pub k: &'a Expr,
    pub v: &'a Expr,
    pub window: &'a Expr,
}

/// All calls of attention.
pub fn attentions<'a>(guest: &Guest<'a>) -> Vec<Attention<'a>> {
    let calls = guest.tree.methods.iter();
    calls
        .filter_map(|found| {
            let args = &found.node.args;
            let window = match (found.node.method.to_string().as_str(), args.len()) {
                ("attention", 3) => &args[2],
                ("attention_with", 5) => &args[3],
                _ => return None,
            };
            let (call, range) = (found.node, found.range.clone());
            Some(Attention { call, range, q: &call.receiver, k: &args[0], v: &args[1], window })
        })
        .collect()
}

/// The only call of attention.
fn single<'a>(guest: &Guest<'a>) -> Option<Attention<'a>> {
    let mut all = attentions(guest);
    let one = all.pop()?;
    all.is_empty().then_some(one)
}

pub fn rope_base(guest: &Guest) -> Vec<Change> {
    let calls: Vec<_> = guest.tree.calls_of("rope").filter_map(|call| call.node.args.first()).collect();
    let Some(first) = calls.first() else { return Vec::new() };
    if calls.iter().any(|base| guest.words(*base) != guest.words(*first)) {
        return Vec::new();
    }
    let names = ("ROPE_BASE", "rope base");
    let changes = [0.3, 2.0, 5.0, 20.0].into_iter().filter_map(|factor| {
        let mut change = scaled_argument(guest, first, names, factor)?;
        if guest.constant(first).is_none() {
            // The same literal stands in the other calls.
            change.edits.extend(calls.iter().skip(1).map(|base| Edit::replace(*base, names.0)));
        }
        Some(change)
    });
    changes.collect()
}

const PARTLY_ROTATED: &str = r#"/// Rotates the first channels of each head by position and leaves the others as they are.
fn partly_rotated(x: &Tensor, base: f32) -> Tensor {
    let dim = x.size(3);
    let turned = (2 * (dim as f32 * ROTATED / 2.0) as usize).clamp(2, dim);
    let first = x.narrow(3, 0, turned).rope(base);
    if turned == dim { first } else { Tensor::cat(&[&first, &x.narrow(3, turned, dim - turned)], 3) }
}"#;

pub fn partial_rope(guest: &Guest) -> Vec<Change> {
    let calls: Vec<_> = guest.tree.calls_of("rope").filter(|call| call.node.args.len() == 1).collect();
    if calls.is_empty() {
        return Vec::new();
    }
    let change = |share: &str, words: &str| {
        let mut draft = Draft::new(guest)
            .number("ROTATED", share, "share of a head's channels that are rotated by position")
            .item("partly_rotated", PARTLY_ROTATED);
        for call in &calls {
            let base = guest.words(&call.node.args[0]);
            let rest = edit::range(&call.node.receiver).end..call.range.end;
            draft = draft.edit(Edit::insert(call.range.start, "partly_rotated(&")).replace(&rest, format!(", {base})"));
        }
        draft.done(format!("rope on {words} of the channels"))
    };
    [("0.5", "half"), ("0.25", "a quarter")].into_iter().filter_map(|(share, words)| change(share, words)).collect()
}

const OFFSET_KEYS: &str = r#"/// Keys whose second half of channels is that of the position before.
fn offset_keys(k: &Tensor) -> Tensor {
    let (time, dim) = (k.size(1), k.size(3));
    let before = k.narrow(3, dim / 2, dim - dim / 2).pad(1, 1, 0).narrow(1, 0, time);
    Tensor::cat(&[&k.narrow(3, 0, dim / 2), &before], 3)
}"#;

pub fn key_offset(guest: &Guest) -> Vec<Change> {
    let all = attentions(guest);
    let mut draft = Draft::new(guest).item("offset_keys", OFFSET_KEYS).unless(all.is_empty());
    for attention in &all {
        draft = draft.wrap(&edit::range(attention.k), "&offset_keys(", ")");
    }
    draft.done("keys: half of the channels from the position before").into_iter().collect()
}

pub fn attention_scale(guest: &Guest) -> Vec<Change> {
    let all = attentions(guest);
    if all.is_empty() {
        return Vec::new();
    }
    let change = |gain: &str| {
        let mut draft = Draft::new(guest).number("SCORE_GAIN", gain, "factor of all scores of attention");
        for attention in &all {
            draft = draft.append(&edit::range(attention.q), ".affine(SCORE_GAIN, 0.0)");
        }
        draft.done(format!("scores of attention ×{gain}"))
    };
    ["1.2", "2.0"].into_iter().filter_map(change).collect()
}

const SCALED: &str = r#"/// Each head times its own gain.
fn scaled_heads(x: &Tensor, gain: Tensor) -> Tensor {
    x * gain
}"#;

pub fn query_gain(guest: &Guest) -> Vec<Change> {
    let change = || {
        let attention = single(guest)?;
        let Heads { context: Context { net, layer, declared, .. }, count, .. } = heads(guest, &attention.range)?;
        let group = scalar_group(guest, &trunk(guest)?)?;
        let own = declared.key.layer.as_deref()?;
        Draft::new(guest)
            .number("QUERY_GAIN", "1.2", "first gain of the queries of a head")
            .item("scaled_heads", SCALED)
            .parameter(
                &declared,
                &group,
                &format!("(\"query_gain\", {own})"),
                &format!("Tensor::full([{count}, 1], QUERY_GAIN)"),
            )
            .wrap(&edit::range(attention.q), "scaled_heads(&", format!(", {})", read(&net, "query_gain", &layer)))
            .done("a learned gain for the queries of each head")
    };
    change().into_iter().collect()
}

const GATED: &str = r#"/// Scales the output of each head by a gate between 0 and 2, which some channels of the input decide.
fn gated_heads(net: &Net, layer: usize, x: &Tensor, heads: Tensor) -> Tensor {
    let weight = net.weight(("head_gate", layer));
    let gates = x.narrow(2, 0, weight.size(1)).linear(&weight).sigmoid().affine(HEAD_GATE_RANGE, 0.0);
    heads * gates.heads(1)
}"#;

pub fn head_gates(guest: &Guest) -> Vec<Change> {
    let change = || {
        let attention = single(guest)?;
        let Heads { context: Context { net, layer, declared, .. }, count, input } = heads(guest, &attention.range)?;
        declared.has_literal_group().then_some(())?;
        let own = declared.key.layer.as_deref()?;
        let input = input.trim_start_matches('&');
        Draft::new(guest)
            .constant("HEAD_GATE_INPUTS", "usize", "12", "channels that decide how much a head says")
            .number("HEAD_GATE_RANGE", "2.0", "how far the gate of a head opens at most")
            .item("gated_heads", GATED)
            .parameter(
                &declared,
                &declared.group,
                &format!("(\"head_gate\", {own})"),
                &format!("Tensor::zeros([{count}, HEAD_GATE_INPUTS])"),
            )
            .wrap(&attention.range, format!("gated_heads({net}, {layer}, &{input}, "), ")")
            .done("a gate on the output of each head")
    };
    change().into_iter().collect()
}

const PAIRED: &str = r#"/// Attention of pairs of heads that see each other: their positions take turns in one sequence. An odd number of
/// heads forms one group.
fn paired(q: &Tensor, k: &Tensor, v: &Tensor, window: usize) -> Tensor {
    let (shape, few) = (q.shape(), k.size(2));
    let pair = if few % 2 == 0 { 2 } else { few };
    let (batch, time, dim) = (shape[0], shape[1], shape[3]);
    let turns = |x: &Tensor| {
        let groups = x.size(2) / pair;
        x.reshape([batch, time, groups, pair, dim]).transpose(2, 3).reshape([batch, time * pair, groups, dim])
    };
    let mixed = turns(q).attention(&turns(k), &turns(v), window * pair);
    mixed.reshape([batch, time, pair, shape[2] / pair, dim]).transpose(2, 3).reshape(shape)
}"#;

pub fn paired_heads(guest: &Guest) -> Vec<Change> {
    let all: Vec<_> = attentions(guest).into_iter().filter(|attention| attention.call.method == "attention").collect();
    let mut draft = Draft::new(guest).item("paired", PAIRED).unless(all.is_empty());
    for attention in &all {
        let between = edit::range(attention.q).end..edit::range(attention.k).start;
        draft = draft.edit(Edit::insert(attention.range.start, "paired(&")).replace(&between, ", ");
    }
    draft.done("pairs of heads in one sequence").into_iter().collect()
}

const GROWING: &str = r#"/// A short window at first, and the whole one later.
fn growing(window: usize) -> usize {
    let progress = f32::from_bits(PROGRESS.load(std::sync::atomic::Ordering::Relaxed));
    if progress < WINDOW_GROWS && (window == 0 || window > FIRST_WINDOW) { FIRST_WINDOW } else { window }
}"#;

pub fn window_schedule(guest: &Guest) -> Vec<Change> {
    let change = || {
        let (all, training) = (attentions(guest), training(guest)?);
        let mut draft = Draft::new(guest)
            .constant("FIRST_WINDOW", "usize", "64", "longest attention window at first")
            .number("WINDOW_GROWS", "0.5", "share of the budget after which windows have their whole length")
            .shared("PROGRESS", &[PROGRESS])
            .item("growing", GROWING)
            .unless(all.is_empty());
        for attention in &all {
            draft = draft.wrap(&edit::range(attention.window), "growing(", ")");
        }
        training.tell_progress(guest, draft).done("attention windows that grow during the run")
    };
    change().into_iter().collect()
}
