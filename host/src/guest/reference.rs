//! The SDK reference as Markdown. It is built from the SDK's sources and the contract, so it is always up to date.
//! Language models receive it, and `host reference` prints it. Pure.

use crate::guest::component::CONTRACT_WIT;
use crate::guest::price_list;
use crate::guest::source;
use crate::guest::toolchain::SDK;
use kernels::cost::Profile;
use std::fmt::Write;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, Ident, Item, Lit, Meta, Token, Visibility};

/// Files in reading order, with a title each. Files that are not listed are not for guests.
const ORDER: [(&str, &str); 11] = [
    ("tensor.rs", "Tensors: creation, values, changes in place"),
    ("random.rs", "Random tensors"),
    ("shape.rs", "Shape"),
    ("math.rs", "Elementwise functions and comparisons"),
    ("reduce.rs", "Reductions"),
    ("index.rs", "Indexing and order"),
    ("nn.rs", "Products, norms, attention, loss"),
    ("grad.rs", "Gradients"),
    ("net.rs", "Named state"),
    ("lab.rs", "The run: task, data, budget, log"),
    ("optim.rs", "Optimizers, averages, snapshots"),
];

/// Every public type, function and constant of the SDK: one line each, with signature and documentation; and what
/// operations cost by this profile.
pub fn markdown(profile: &Profile) -> String {
    let mut out = String::from("# Guest SDK\n");
    section(&mut out, &file_docs("lib.rs"));
    out.push_str("\n## Prices\n");
    section(&mut out, &contract_docs());
    section(&mut out, &price_list::table(profile));
    for (name, title) in ORDER {
        let _ = write!(out, "\n## {title}\n");
        // The SDK parses: a test reads each function of it from here.
        let _ = source::look(text_of(name), |syntax| syntax.file.items.iter().for_each(|item| entry(&mut out, item)));
    }
    out
}

fn text_of(name: &str) -> &'static str {
    SDK.iter().find(|(file, _)| *file == name).map_or("", |(_, text)| *text)
}

/// The `//!` lines of a file.
fn file_docs(name: &str) -> String {
    let lines = text_of(name).lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The last paragraph before the contract's `package`: the cost of operations.
fn contract_docs() -> String {
    let lines = CONTRACT_WIT.lines().map_while(|line| line.strip_prefix("///"));
    let text = lines.map(str::trim).collect::<Vec<_>>().join("\n");
    text.rsplit("\n\n").next().unwrap_or_default().to_owned()
}

fn section(out: &mut String, text: &str) {
    if !text.is_empty() {
        let _ = write!(out, "\n{}\n", text.trim());
    }
}

fn entry(out: &mut String, item: &Item) {
    match item {
        Item::Struct(item) if public(&item.vis) => {
            let _ = write!(out, "\n### `{}`\n", item.ident);
            section(out, &docs(&item.attrs));
            let fields: Vec<_> = item.fields.iter().filter(|field| public(&field.vis)).collect();
            separate(out, !fields.is_empty());
            for field in fields {
                let name = field.ident.as_ref().map_or_else(String::new, Ident::to_string);
                line(out, &format!("{name}: {}", text(field.ty.span())), &docs(&field.attrs));
            }
        }
        Item::Impl(item) if item.trait_.is_none() => {
            let methods: Vec<_> = item.items.iter().filter_map(method).collect();
            if methods.is_empty() {
                return;
            }
            section(out, &docs(&item.attrs));
            separate(out, true);
            methods.iter().for_each(|(signature, docs)| line(out, signature, docs));
        }
        Item::Fn(item) if public(&item.vis) => {
            separate(out, true);
            line(out, &text(item.sig.span()), &docs(&item.attrs));
        }
        Item::Const(item) if public(&item.vis) => {
            separate(out, true);
            line(out, &format!("const {}: {}", item.ident, text(item.ty.span())), &docs(&item.attrs));
        }
        Item::Type(item) if public(&item.vis) => {
            separate(out, true);
            line(out, &format!("type {} = {}", item.ident, text(item.ty.span())), &docs(&item.attrs));
        }
        Item::Use(item) if public(&item.vis) => section(out, &docs(&item.attrs)),
        Item::Macro(item) if item.mac.path.is_ident("unary") => {
            if let Ok(table) = item.mac.parse_body::<Table>() {
                section(
                    out,
                    "Functions of an f32 tensor: any shape, kept. Cost: elementwise, 1 to 22 operations each.",
                );
                separate(out, true);
                table.0.iter().for_each(|(name, docs)| line(out, &format!("fn {name}(&self) -> Tensor"), docs));
            }
        }
        _ => {}
    }
}

fn method(item: &syn::ImplItem) -> Option<(String, String)> {
    match item {
        syn::ImplItem::Fn(item) if public(&item.vis) => Some((text(item.sig.span()), docs(&item.attrs))),
        _ => None,
    }
}

/// Adds one empty line before a list.
fn separate(out: &mut String, wanted: bool) {
    let in_list = out.lines().last().is_some_and(|line| line.starts_with("- "));
    if wanted && !in_list {
        out.push('\n');
    }
}

fn line(out: &mut String, signature: &str, docs: &str) {
    let words = docs.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(out, "- `{signature}`: {words}");
}

fn public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The source text of a span, on one line.
fn text(span: proc_macro2::Span) -> String {
    let text = span.source_text().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace("( ", "(").replace(", )", ")")
}

fn docs(attributes: &[Attribute]) -> String {
    let lines =
        attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).filter_map(|attribute| match &attribute
            .meta
        {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value().trim().to_owned()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    lines.collect::<Vec<_>>().join("\n")
}

/// The SDK's table of unary functions: `/// docs`, `name => Case;`.
struct Table(Vec<(Ident, String)>);

impl Parse for Table {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut rows = Vec::new();
        while !input.is_empty() {
            let docs = docs(&input.call(Attribute::parse_outer)?);
            let name = input.parse()?;
            input.parse::<Token![=>]>()?;
            input.parse::<Ident>()?;
            input.parse::<Token![;]>()?;
            rows.push((name, docs));
        }
        Ok(Self(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::price_list::tests::profile;

    #[test]
    fn every_function_of_the_contract_has_a_way_to_it() {
        let calls: String = SDK.iter().filter(|(name, _)| *name != "bindings.rs").map(|(_, text)| *text).collect();
        let functions = CONTRACT_WIT.lines().filter_map(|line| line.trim().split_once(": func(").map(|(name, _)| name));
        let named: Vec<String> = functions.map(|name| name.replace('-', "_")).collect();
        assert!(named.len() > 50, "{named:?}");
        for name in named.iter().filter(|name| *name != "fail" && !name.starts_with("export ")) {
            let called = [format!("::{name}("), format!(".{name}(")].iter().any(|call| calls.contains(call.as_str()));
            assert!(called, "the SDK never calls {name}");
        }
    }

    #[test]
    fn lines_hold_signature_shapes_and_cost() {
        let text = markdown(&profile());
        for wanted in [
            "- `fn narrow(&self, axis: usize, start: usize, len: usize) -> Tensor`: `len` positions of `axis` from \
             `start`: [.., n, ..] → [.., len, ..]. Cost: copy.",
            "- `fn exp(&self) -> Tensor`: e^x",
            "- `fn linear_cross_entropy(&self, weight: &Tensor, targets: &Tensor, softcap: f32, z_loss: f32) -> Tensor`",
            "- `fn checkpoint<T>(compute: impl FnOnce() -> T) -> T`",
            "- `vocab: usize`: Number of different tokens.",
            "### `Muon`",
            "the larger of work / rate",
        ] {
            assert!(text.contains(wanted), "{wanted}\n\n{text}");
        }
    }

    #[test]
    fn every_public_function_is_there_and_documented() {
        let text = markdown(&profile());
        for (name, _) in ORDER {
            let source = text_of(name);
            for line in source.lines() {
                let function = line.trim().strip_prefix("pub fn ").filter(|rest| !rest.starts_with('$'));
                if let Some(function) = function.and_then(|rest| rest.split(['(', '<']).next()) {
                    let there = [format!("fn {function}("), format!("fn {function}<")];
                    assert!(there.iter().any(|f| text.contains(f.as_str())), "{name}: {function}");
                }
            }
        }
        let bare = text.lines().find(|line| line.starts_with("- `") && line.ends_with("`: "));
        assert_eq!(bare, None, "a line without documentation");
    }
}
