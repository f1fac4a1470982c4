//! Replaces one activation function with another.

use crate::propose::evolve::edit::Edit;
use crate::propose::evolve::operators::guest::{Change, Guest};

/// Tensor methods, and their usual names. The sigmoid is left out, because it is used as a gate.
const ACTIVATIONS: &[(&str, &str)] = &[("relu_squared", "relu²"), ("gelu", "gelu"), ("silu", "silu"), ("relu", "relu")];

pub fn sites(guest: &Guest) -> Vec<Change> {
    let mut changes = Vec::new();
    for call in guest.tree.methods.iter().filter(|call| call.node.args.is_empty()) {
        let method = &call.node.method;
        let Some((_, from)) = ACTIVATIONS.iter().find(|(name, _)| method == name) else { continue };
        let Some(function) = guest.tree.function_at(&call.range) else { continue };
        changes.extend(ACTIVATIONS.iter().filter(|(_, to)| to != from).map(|(name, to)| Change {
            description: format!("activation in {}: {from} → {to}", function.signature.ident),
            edits: vec![Edit::replace(method, *name)],
        }));
    }
    changes
}
