//! First values of parameters.

use crate::propose::evolve::edit;
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::mlp::hidden;
use crate::propose::evolve::operators::parameters::Declaration;
use crate::propose::evolve::operators::tree::holds;
use crate::propose::evolve::operators::trunk::trunk;
use syn::Expr;

/// Multiplies the first values of parameters by a new constant.
fn times(guest: &Guest, declared: &[&Declaration], name: &str, value: &str, meaning: &str) -> Option<Change> {
    let mut draft = Draft::new(guest).number(name, value, meaning).unless(declared.is_empty());
    for declaration in declared {
        let place = edit::range(declaration.init);
        draft = match declaration.init {
            Expr::Call(_) | Expr::MethodCall(_) | Expr::Path(_) => {
                draft.append(&place, format!(".affine({name}, 0.0)"))
            }
            _ => draft.wrap(&place, "(", format!(").affine({name}, 0.0)")),
        };
    }
    draft.done(format!("{meaning}: ×{value}"))
}

/// Matrices of layers that begin with random values and that something is multiplied by.
fn is_matrix(guest: &Guest, declaration: &Declaration) -> bool {
    let looked_up = guest.reads.iter().any(|read| read.call.method == "embed" && read.key.meets(&declaration.key));
    declaration.key.layer.is_some() && !declaration.is_constant() && !looked_up
}

pub fn matrices(guest: &Guest) -> Vec<Change> {
    let all = &guest.declarations;
    let matrices: Vec<_> = all.iter().filter(|declaration| is_matrix(guest, declaration)).collect();
    let change = |value| times(guest, &matrices, "MATRIX_SCALE", value, "scale of the first values of all matrices");
    ["0.7", "0.5"].into_iter().filter_map(change).collect()
}

pub fn first_of_mlp(guest: &Guest) -> Vec<Change> {
    let found = hidden(guest);
    let Some(first) = found.first() else { return Vec::new() };
    let declared = &first.context.declared;
    let change =
        times(guest, &[declared], "HIDDEN_SCALE", "0.5", "scale of the first values of the MLP's first matrix");
    change.filter(|_| !declared.is_constant()).into_iter().collect()
}

pub fn embeddings(guest: &Guest) -> Vec<Change> {
    let Some(trunk) = trunk(guest).filter(|trunk| !trunk.table.is_constant()) else { return Vec::new() };
    let change =
        |value| times(guest, &[&trunk.table], "EMBED_SCALE", value, "scale of the first values of the embedding");
    ["0.8", "0.5"].into_iter().filter_map(change).collect()
}

/// Matrices that begin with zeros begin with small random values. Those of gates stay.
pub fn outputs(guest: &Guest) -> Vec<Change> {
    let (all, reads) = (&guest.declarations, &guest.reads);
    let of_gate = |declaration: &Declaration| {
        let mut own = reads.iter().filter(|read| read.key.meets(&declaration.key));
        own.any(|read| guest.tree.calls_of("sigmoid").any(|call| holds(&call.range, &read.range)))
    };
    let mut draft = Draft::new(guest).number("OUTPUT_STD", "0.01", "spread of the first values of output matrices");
    let mut some = false;
    for declaration in all.iter().filter(|d| d.key.layer.is_some() && d.is_zero() && !of_gate(d)) {
        let Expr::Call(call) = declaration.init else { continue };
        let is_read = reads.iter().any(|read| read.key.meets(&declaration.key));
        let Some(shape) = call.args.first().filter(|shape| is_read && is_pair(shape)) else { continue };
        some = true;
        draft = draft.replace(&edit::range(call), format!("Tensor::normal({}, 0.0, OUTPUT_STD)", guest.words(shape)));
    }
    draft.unless(!some).done("output matrices: 0 → small random values").into_iter().collect()
}

fn is_pair(shape: &Expr) -> bool {
    matches!(shape, Expr::Array(array) if array.elems.len() == 2)
}
