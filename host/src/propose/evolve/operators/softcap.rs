//! Removes the softcap from the logits.

use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::guest::{Guest, Site};
use syn::visit::Visit;

pub const NAME: &str = "softcap";

pub fn sites(guest: &Guest) -> Vec<Site> {
    let mut sites = Vec::new();
    for function in guest.functions() {
        let mut calls = Calls(Vec::new());
        calls.visit_item_fn(function);
        sites.extend(calls.0.into_iter().map(|call| Site {
            operator: NAME,
            description: format!("softcap in {}: off", function.sig.ident),
            edits: vec![Edit { range: edit::range(&call.receiver).end..edit::range(call).end, text: String::new() }],
        }));
    }
    sites
}

struct Calls<'a>(Vec<&'a syn::ExprMethodCall>);

impl<'a> Visit<'a> for Calls<'a> {
    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        if call.method == "softcap" {
            self.0.push(call);
        }
        syn::visit::visit_expr_method_call(self, call);
    }
}
