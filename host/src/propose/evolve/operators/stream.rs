//! The residual stream: shortcuts, skips, sublayers that are dropped or run again.

use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::arguments::float;
use crate::propose::evolve::operators::context::scalar_group;
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::parameters::{Declaration, Read, layers_of, read};
use crate::propose::evolve::operators::tree::{holds, ident, peeled};
use crate::propose::evolve::operators::trunk::{Branch, Layers, Trunk, trunk};
use std::collections::BTreeSet;
use std::ops::Range;
use syn::{BinOp, Expr};

/// The trunk, its layers, and a group for scalars.
struct Stream<'a> {
    trunk: Trunk<'a>,
    layers: Layers<'a>,
    scalars: String,
}

impl<'a> Stream<'a> {
    fn of(guest: &Guest<'a>) -> Option<Self> {
        let trunk = trunk(guest)?;
        let (layers, scalars) = (trunk.layers(guest)?, scalar_group(guest, &trunk)?);
        Some(Self { trunk, layers, scalars })
    }

    /// The first statement in the loop.
    fn start(&self) -> Option<Range<usize>> {
        self.layers.found.body.stmts.first().map(edit::range)
    }

    /// A key for each layer, where parameters are declared.
    fn key(&self, name: &str) -> String {
        format!("(\"{name}\", {})", self.layers.declared.key.layer.as_deref().unwrap_or_default())
    }

    fn read(&self, name: &str) -> String {
        read(&self.trunk.net, name, &self.layers.layer)
    }

    /// A scalar for the whole model.
    fn read_one(&self, name: &str) -> String {
        format!("{}.weight(\"{name}\")", self.trunk.net.trim_start_matches('&'))
    }
}

/// Runs the last layers once more.
pub fn recurrence(guest: &Guest) -> Vec<Change> {
    let change = || {
        let stream = Stream::of(guest)?;
        let Expr::Range(range) = peeled(&stream.layers.found.expr) else { return None };
        let depth = &stream.layers.depth;
        Draft::new(guest)
            .constant("REPEATED", "usize", "1", "layers at the end that run twice")
            .replace(
                &edit::range(&*stream.layers.found.expr),
                format!("({}).chain({depth}.saturating_sub(REPEATED)..{depth})", guest.words(range)),
            )
            .done("the last layer runs twice")
    };
    change().into_iter().collect()
}

/// Drops the first attention or MLP, with its parameters.
pub fn dropped_sublayer(guest: &Guest) -> Vec<Change> {
    let Some(stream) = Stream::of(guest) else { return Vec::new() };
    let change = |branch: &Branch| {
        let Expr::Binary(sum) = branch.value else { return None };
        let Expr::Call(call) = &*sum.right else { return None };
        matches!(sum.op, BinOp::Add(_)).then_some(())?;
        let callee = ident(&call.func)?;
        let only = keys_read_only_by(guest, &callee)?;
        let layer = &stream.layers.layer;
        let mut draft =
            Draft::new(guest).edit(Edit::insert(branch.range.start, format!("if {layer} > 0 {{\n            ")));
        draft = draft.append(&branch.range, "\n        }");
        for declaration in &guest.declarations {
            let around = guest.tree.for_at(&declaration.statement);
            let same = around
                .and_then(|around| layers_of(&guest.tree, &around.node.expr))
                .is_some_and(|depth| depth == stream.layers.depth);
            if same
                && declaration.key.stems.iter().all(|stem| only.contains(stem))
                && let Some(own) = &declaration.key.layer
            {
                draft = draft.wrap(&declaration.statement, format!("if {own} > 0 {{\n            "), "\n        }");
            }
        }
        draft.done(format!("no {callee} in the first layer"))
    };
    stream.layers.branches.iter().filter_map(change).collect()
}

/// Stems of keys that the function, or what it calls, reads and nothing else does.
fn keys_read_only_by(guest: &Guest, name: &str) -> Option<BTreeSet<String>> {
    let tree = &guest.tree;
    let first = tree.function(name)?;
    let mut inside = vec![first];
    let mut at = 0;
    while let Some(function) = inside.get(at).copied() {
        let calls = tree.calls.iter().filter(|call| holds(&function.range, &call.range));
        for called in calls.filter_map(|call| tree.function(&ident(&call.node.func)?)) {
            if !inside.iter().any(|known| known.range == called.range) {
                inside.push(called);
            }
        }
        at += 1;
    }
    let is_inside = |place: &Range<usize>| inside.iter().any(|function| holds(&function.range, place));
    let (own, others): (Vec<_>, Vec<_>) = guest.reads.iter().partition(|read| is_inside(&read.range));
    // What is called from elsewhere too must keep its parameters.
    let shared = inside.iter().filter(|function| {
        let name = &function.signature.ident;
        let mut calls = tree.calls.iter().filter(|call| ident(&call.node.func).is_some_and(|called| name == &called));
        calls.any(|call| !is_inside(&call.range)) && function.signature.ident != first.signature.ident
    });
    let is_shared = |place: &Range<usize>| shared.clone().any(|function| holds(&function.range, place));
    if own.iter().any(|read| is_shared(&read.range)) {
        return Some(BTreeSet::new());
    }
    let stems = |reads: Vec<&Read>| reads.into_iter().flat_map(|read| read.key.stems.clone()).collect::<BTreeSet<_>>();
    let (own, others) = (stems(own), stems(others));
    Some(own.difference(&others).cloned().collect())
}

/// A learned mix of the stream and the embedding before each layer.
pub fn shortcut(guest: &Guest) -> Vec<Change> {
    let change = || {
        let stream = Stream::of(guest)?;
        let x = &stream.layers.stream;
        // Parameters that multiply the stream do the same.
        let has_one = stream.layers.branches.iter().any(|branch| guest.words(branch.value).contains(&format!("{x} *")));
        Draft::new(guest)
            .unless(has_one)
            .number("SHORTCUT", "0.1", "first weight of the embedding in the stream before a layer")
            .parameter(&stream.layers.declared, &stream.scalars, &stream.key("keep"), "Tensor::full([1], 1.0)")
            .parameter(&stream.layers.declared, &stream.scalars, &stream.key("shortcut"), "Tensor::full([1], SHORTCUT)")
            .before(&stream.layers.range, &format!("let embedded = {x}.clone();"))
            .before(
                &stream.start()?,
                &format!("{x} = &{x} * {} + &embedded * {};", stream.read("keep"), stream.read("shortcut")),
            )
            .done("a shortcut from the embedding to every layer")
    };
    change().into_iter().collect()
}

/// First values of the learned scalars of layers: another number, or one that changes with depth.
pub fn first_scalars(guest: &Guest) -> Vec<Change> {
    let mut changes = Vec::new();
    for declaration in guest.declarations.iter().filter(|declaration| declaration.is_of_each_layer) {
        changes.extend(first_scalar(guest, declaration).into_iter().flatten());
    }
    changes
}

fn first_scalar(guest: &Guest, declaration: &Declaration) -> Option<Vec<Change>> {
    let Expr::Call(call) = declaration.init else { return None };
    let ([stem], 2) = (&declaration.key.stems[..], call.args.len()) else { return None };
    let (shape, literal) = (guest.words(&call.args[0]), &call.args[1]);
    let now = float(literal).filter(|_| shape == "[1]" && declaration.is_constant())?;
    let around = guest.tree.for_at(&declaration.statement)?;
    let (layer, depth) = (declaration.key.layer.as_deref()?, layers_of(&guest.tree, &around.node.expr)?);
    let name: String = stem.to_uppercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    // What begins near 1 keeps the stream, what is small adds to it.
    let (other, first, last) = if now >= 0.5 { ("1.1", "1.15", "1.05") } else { ("0.05", "0.2", "0.05") };
    let place = edit::range(literal);
    let at = format!("{name}_FIRST + ({name}_LAST - {name}_FIRST) * {layer} as f32 / {depth} as f32");
    let constant = Draft::new(guest)
        .number(&format!("{name}_START"), other, &format!("first value of {stem} in each layer"))
        .replace(&place, format!("{name}_START"))
        .done(format!("first value of {stem}: {now} → {other}"));
    let falling = Draft::new(guest)
        .number(&format!("{name}_FIRST"), first, &format!("first value of {stem} in the first layer"))
        .number(&format!("{name}_LAST"), last, "what it goes to with depth")
        .replace(&place, at)
        .done(format!("first value of {stem}: {now} → {first} falling to {last} with depth"));
    Some(constant.into_iter().chain(falling).collect())
}

/// Skips from the first half of the layers to the second.
pub fn unet_skips(guest: &Guest) -> Vec<Change> {
    let change = || {
        let stream = Stream::of(guest)?;
        let (x, layer, depth) = (&stream.layers.stream, &stream.layers.layer, &stream.layers.depth);
        let deep = guest.integer(depth).is_none_or(|depth| depth >= 4);
        let skip = format!(
            "if {layer} < {depth} / 2 {{\n    skips.push({x}.clone());\n}} else if let Some(skip) = skips.pop() {{\n    \
             {x} = &{x} + skip * {};\n}}",
            stream.read("skip")
        );
        Draft::new(guest)
            .unless(!deep)
            .number("SKIP", "0.1", "first weight of a skip from the first half of the layers")
            .parameter(&stream.layers.declared, &stream.scalars, &stream.key("skip"), "Tensor::full([1], SKIP)")
            .before(&stream.layers.range, "let mut skips: Vec<Tensor> = Vec::new();")
            .before(&stream.start()?, &skip)
            .done("skips from the first half of the layers to the second")
    };
    change().into_iter().collect()
}

/// Takes the stream of the middle out of the one at the end.
pub fn backout(guest: &Guest) -> Vec<Change> {
    let change = || {
        let stream = Stream::of(guest)?;
        let (x, layer, depth) = (&stream.layers.stream, &stream.layers.layer, &stream.layers.depth);
        let table = &stream.trunk.table;
        Draft::new(guest)
            .number("BACKOUT", "0.2", "first share of the middle stream that is taken out at the end")
            .parameter(table, &stream.scalars, "\"backout\"", "Tensor::full([1], BACKOUT)")
            .before(&stream.layers.range, &format!("let mut middle = {x}.clone();"))
            .before(&stream.start()?, &format!("if {layer} == {depth} / 2 {{\n    middle = {x}.clone();\n}}"))
            .after(&stream.layers.range, &format!("{x} = &{x} - &middle * {};", stream.read_one("backout")))
            .done("backout: the stream of the middle, less a learned share, at the end")
    };
    change().into_iter().collect()
}

/// A learned mix of all earlier streams before each layer.
pub fn dense_mix(guest: &Guest) -> Vec<Change> {
    let change = || {
        let stream = Stream::of(guest)?;
        let (x, layer) = (&stream.layers.stream, &stream.layers.layer);
        let own = stream.layers.declared.key.layer.as_deref()?;
        // A layer that runs again has no more weights than before.
        let mix = format!(
            "let mix = {};\nfor (place, earlier) in streams.iter().take({layer} + 1).enumerate() {{\n    \
             {x} = &{x} + earlier * mix.narrow(0, place, 1);\n}}\nstreams.push({x}.clone());",
            stream.read("mix")
        );
        Draft::new(guest)
            .number("MIX", "0.01", "first weight of earlier streams before a layer")
            .parameter(
                &stream.layers.declared,
                &stream.scalars,
                &stream.key("mix"),
                &format!("Tensor::full([{own} + 1], MIX)"),
            )
            .before(&stream.layers.range, &format!("let mut streams = vec![{x}.clone()];"))
            .before(&stream.start()?, &mix)
            .done("a learned mix of all earlier streams before each layer")
    };
    change().into_iter().collect()
}
