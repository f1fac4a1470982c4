//! Replaces one activation function with another.

use crate::propose::evolve::edit::Edit;
use crate::propose::evolve::operators::guest::{Guest, Site};
use syn::visit::Visit;

pub const NAME: &str = "activation";

/// Tensor methods, and their usual names. The sigmoid is left out, because it is used as a gate.
const ACTIVATIONS: &[(&str, &str)] = &[("relu_squared", "relu²"), ("gelu", "gelu"), ("silu", "silu"), ("relu", "relu")];

pub fn sites(guest: &Guest) -> Vec<Site> {
    let mut sites = Vec::new();
    for function in guest.functions() {
        let mut calls = Calls(Vec::new());
        calls.visit_item_fn(function);
        for method in calls.0 {
            let Some((_, from)) = ACTIVATIONS.iter().find(|(name, _)| method == name) else {
                continue;
            };
            for (name, to) in ACTIVATIONS.iter().filter(|(_, to)| to != from) {
                sites.push(Site {
                    operator: NAME,
                    description: format!("activation in {}: {from} → {to}", function.sig.ident),
                    edits: vec![Edit::replace(method, *name)],
                });
            }
        }
    }
    sites
}

/// Names of methods that are called without arguments.
struct Calls<'a>(Vec<&'a syn::Ident>);

impl<'a> Visit<'a> for Calls<'a> {
    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        if call.args.is_empty() {
            self.0.push(&call.method);
        }
        syn::visit::visit_expr_method_call(self, call);
    }
}
