//! The MLP: its width, its activation, gates between its matrices.

use crate::propose::evolve::constants::Value;
use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::arguments::set;
use crate::propose::evolve::operators::context::{Context, constants_in, contexts};
use crate::propose::evolve::operators::draft::Draft;
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::parameters::read;
use crate::propose::evolve::operators::tree::{Found, holds, is_place};
use syn::{Expr, ExprMethodCall};

/// Activations that follow a matrix. The sigmoid is left out, because it is used as a gate.
const ACTIVATIONS: [&str; 4] = ["relu_squared", "gelu", "silu", "relu"];

/// A call of an activation on the product with a layer's matrix, and that matrix.
pub struct Hidden<'a> {
    pub activation: &'a ExprMethodCall,
    pub product: &'a ExprMethodCall,
    pub context: Context<'a>,
}

/// Every activation of a product.
pub fn hidden<'a>(guest: &Guest<'a>) -> Vec<Hidden<'a>> {
    let calls = guest.tree.methods.iter().filter(|call| ACTIVATIONS.iter().any(|name| call.node.method == name));
    calls
        .filter_map(|Found { node, range }| {
            let Expr::MethodCall(product) = &*node.receiver else { return None };
            let matrix = edit::range(product.args.first().filter(|_| product.method == "linear")?);
            let context = contexts(guest, range).into_iter().find(|context| holds(&matrix, &context.read))?;
            Some(Hidden { activation: node, product, context })
        })
        .collect()
}

const LEAKY: &str = r#"/// The square of x, or of LEAK·x below 0.
fn leaky_relu_squared(x: &Tensor) -> Tensor {
    x.maximum(x.affine(LEAK, 0.0)).square()
}"#;

pub fn leaky_relu(guest: &Guest) -> Vec<Change> {
    let calls: Vec<_> = guest.tree.calls_of("relu_squared").collect();
    let mut draft = Draft::new(guest)
        .number("LEAK", "0.5", "slope of the activation below 0")
        .item("leaky_relu_squared", LEAKY)
        .unless(calls.is_empty());
    for call in calls {
        let method = edit::range(&call.node.receiver).end..call.range.end;
        draft = draft.edit(Edit::insert(call.range.start, "leaky_relu_squared(&")).replace(&method, ")");
    }
    draft.done("activation: relu² → leaky relu²").into_iter().collect()
}

pub fn gated_mlp(guest: &Guest) -> Vec<Change> {
    let all = hidden(guest);
    let [Hidden { activation, product, context }] = &all[..] else { return Vec::new() };
    let change = || {
        let Context { net, layer, declared, .. } = context;
        let own = declared.key.layer.as_deref()?;
        is_place(&product.receiver).then_some(())?;
        let gate = format!(" * {}.linear(&{}))", guest.words(&product.receiver), read(net, "glu", layer));
        let init = guest.words(declared.init);
        Draft::new(guest)
            .parameter(declared, &declared.group, &format!("(\"glu\", {own})"), init)
            .replace(&edit::range(&activation.method), "silu")
            .wrap(&edit::range(*activation), "(", gate)
            // A variable that was made for the first matrix would be used twice.
            .unless(!matches!(declared.init, Expr::Call(_)))
            .done("SwiGLU in the place of the activation")
    };
    change().into_iter().collect()
}

/// Hidden channels for each channel: the constant that the first matrix of the MLP has and the attention's do not.
pub fn expansion(guest: &Guest) -> Vec<Change> {
    let all = hidden(guest);
    let Some(first) = all.first() else { return Vec::new() };
    let declared = &first.context.declared;
    let Some(function) = guest.tree.function_at(&declared.statement) else { return Vec::new() };
    let own = constants_in(guest, declared.init, &declared.statement);
    let layers = declared.key.layer.is_some();
    let others = &guest.declarations;
    let square = others.iter().find(|other| {
        layers
            && other.key.layer.is_some()
            && !other.is_constant()
            && other.key != declared.key
            && holds(&function.range, &other.statement)
    });
    let Some(square) = square else { return Vec::new() };
    let shared = constants_in(guest, square.init, &square.statement);
    let mut changes = Vec::new();
    for name in own.difference(&shared) {
        let constant = guest.constants.iter().find(|constant| constant.name == *name);
        let Some((constant, Value::Integer(now))) = constant.map(|constant| (constant, constant.value)) else {
            continue;
        };
        let steps = [now - 1, now + 1].into_iter().filter(|new| (1..=8).contains(new));
        changes.extend(steps.filter_map(|new| set(constant, Value::Integer(new), "width of the MLP")));
    }
    changes
}
