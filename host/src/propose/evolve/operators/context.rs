//! Where a layer's own parameters can be declared and read.

use crate::propose::evolve::edit;
use crate::propose::evolve::operators::guest::Guest;
use crate::propose::evolve::operators::parameters::{Declaration, Key};
use crate::propose::evolve::operators::tree::{holds, is_place};
use crate::propose::evolve::operators::trunk::Trunk;
use std::collections::BTreeSet;
use std::ops::Range;
use syn::visit::Visit;
use syn::{Expr, Lit};

/// What a place inside a layer can name.
pub struct Context<'a> {
    /// An expression of type `&Net`.
    pub net: String,
    /// An expression for the layer.
    pub layer: String,
    /// The declaration of a parameter that is read near the place, made once for each layer.
    pub declared: Declaration<'a>,
    /// Where it is read.
    pub read: Range<usize>,
}

/// The context of a place, by the first parameter of a layer that is read in the same function.
pub fn context<'a>(guest: &Guest<'a>, place: &Range<usize>) -> Option<Context<'a>> {
    contexts(guest, place).into_iter().next()
}

/// All contexts of a place.
pub fn contexts<'a>(guest: &Guest<'a>, place: &Range<usize>) -> Vec<Context<'a>> {
    let Some(function) = guest.tree.function_at(place) else { return Vec::new() };
    let loop_of = |range: &Range<usize>| guest.tree.for_at(range).map(|found| found.range.clone());
    let declared = &guest.declarations;
    let near =
        guest.reads.iter().filter(|read| holds(&function.range, &read.range) && loop_of(&read.range) == loop_of(place));
    near.filter_map(|read| {
        let layer = read.key.layer.clone()?;
        let declared =
            declared.iter().find(|declaration| declaration.key.meets(&read.key) && declaration.is_of_each_layer)?;
        Some(Context { net: read.net.clone(), layer, declared: declared.clone(), read: read.range.clone() })
    })
    .collect()
}

/// Groups whose parameters must be matrices.
pub fn matrix_groups(guest: &Guest) -> Vec<String> {
    let made = guest.tree.constructors("Muon", "new");
    let weights = made.filter_map(|made| made.node.args.first());
    weights.flat_map(|weights| literals(guest.words(weights))).collect()
}

/// The words of a group for scalars: one that has some already, or else that of the table of tokens.
pub fn scalar_group(guest: &Guest, trunk: &Trunk) -> Option<String> {
    let matrices = matrix_groups(guest);
    let may = |group: &str| group.starts_with('"') && !matrices.iter().any(|name| *name == group);
    let declared = &guest.declarations;
    let scalars = declared.iter().find(|declaration| {
        let words: String = guest.words(declaration.init).split_whitespace().collect();
        may(&declaration.group) && declaration.is_constant() && words.contains("([1]")
    });
    let group = scalars.map_or(&trunk.table.group, |declaration| &declaration.group);
    may(group).then(|| group.clone())
}

/// String literals with their quotes.
fn literals(words: &str) -> Vec<String> {
    words.split('"').skip(1).step_by(2).map(|name| format!("\"{name}\"")).collect()
}

/// How many heads a layer has, as an expression beside the declaration of a matrix whose product is divided into heads.
pub struct Heads<'a> {
    pub context: Context<'a>,
    pub count: String,
    /// A variable that the matrix is multiplied with, `&Tensor` once referenced.
    pub input: String,
}

/// The heads of the attention at a place: of the first product that is divided into heads.
pub fn heads<'a>(guest: &Guest<'a>, place: &Range<usize>) -> Option<Heads<'a>> {
    let (declared, function) = (&guest.declarations, guest.tree.function_at(place)?);
    let reads = guest.reads.iter().filter(|read| holds(&function.range, &read.range) && read.key.layer.is_some());
    let mut found = reads.filter_map(|read| {
        let divided =
            guest.tree.calls_of("heads").find(|call| holds(&call.range, &read.range) && call.node.args.len() == 1)?;
        let dim = divided.node.args.first()?;
        let is_known = match dim {
            Expr::Lit(lit) => matches!(lit.lit, Lit::Int(_)),
            _ => guest.constant(dim).is_some(),
        };
        let product = guest
            .tree
            .calls_of("linear")
            .find(|call| call.node.args.first().is_some_and(|matrix| holds(&edit::range(matrix), &read.range)))?;
        let input = Some(&product.node.receiver).filter(|input| is_known && is_place(input))?;
        let matrix = declared.iter().find(|declaration| declaration.key.meets(&read.key))?;
        // A parameter of the layer that is declared no earlier, so that the matrix can be asked for its rows there.
        let home = |place: &Range<usize>| guest.tree.function_at(place).map(|function| function.range.clone());
        let context = contexts(guest, place).into_iter().find(|context| {
            let anchor = &context.declared.statement;
            anchor.start >= matrix.statement.start
                && home(anchor) == home(&matrix.statement)
                && Some(&context.layer) == read.key.layer.as_ref()
        })?;
        let key = Key { stems: read.key.stems.clone(), layer: context.declared.key.layer.clone() };
        Some(Heads {
            count: format!("{}.weight({}).size(0) / {}", context.declared.net, written(&key)?, guest.words(dim)),
            input: guest.words(input).to_owned(),
            context,
        })
    });
    found.next()
}

/// A key as an expression, if it has one name.
fn written(key: &Key) -> Option<String> {
    let [stem] = &key.stems[..] else { return None };
    match &key.layer {
        Some(layer) if stem.contains("{}") => {
            Some(format!("&*format!(\"{}\")", stem.replace("{}", &format!("{{{layer}}}"))))
        }
        Some(layer) => Some(format!("(\"{stem}\", {layer})")),
        None => Some(format!("\"{stem}\"")),
    }
}

/// Names of constants that an expression is made of, by way of variables of its function.
pub fn constants_in(guest: &Guest, expr: &Expr, at: &Range<usize>) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl<'a> Visit<'a> for Names {
        fn visit_expr_path(&mut self, path: &'a syn::ExprPath) {
            self.0.extend(path.path.get_ident().map(ToString::to_string));
        }
    }
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        let mut names = Names(BTreeSet::new());
        names.visit_expr(expr);
        for name in names.0.into_iter().filter(|name| seen.insert(name.clone())) {
            match guest.tree.value_of(&name, at) {
                Some(value) => open.push(value),
                None => found.extend(guest.constants.iter().find(|c| c.name == name).map(|c| c.name.clone())),
            }
        }
    }
    found
}
