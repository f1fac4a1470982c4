//! Token memory: tables of hashed n-grams, the embedding of the token before, value embeddings.

use crate::propose::evolve::constants::Value;
use crate::propose::evolve::edit::{self, Edit};
use crate::propose::evolve::operators::attention::attentions;
use crate::propose::evolve::operators::context::{Context, context, scalar_group};
use crate::propose::evolve::operators::draft::{Draft, same_code};
use crate::propose::evolve::operators::guest::{Change, Guest};
use crate::propose::evolve::operators::parameters::read;
use crate::propose::evolve::operators::tree::{Function, holds, is};
use crate::propose::evolve::operators::trunk::{Trunk, trunk};
use std::ops::Range;
use syn::Expr;
use syn::visit::Visit;

/// A function that looks rows of n-grams up: what its line says beside, and what it does with the row. Multiplied by an
/// odd number, different tokens stay different in any number of low bits.
macro_rules! ngram {
    ($says:literal, $sign:literal, $signed:literal) => {
        concat!(
            "/// Rows of the table for `order` tokens in a row: a hash of the last ones finds them",
            $says,
            r#".
fn ngram(net: &Net, order: usize, tokens: &Tensor) -> Tensor {
    let (table, time) = (net.weight(("ngram", order)), tokens.size(1));
    let mut hash = tokens.clone();
    for back in 1..order {
        hash = (hash * 0x9e37_79b1_u32) ^ tokens.pad(1, back, 0).narrow(1, 0, time);
    }
    hash = hash * 0x9e37_79b1_u32;
    hash = &hash ^ (&hash >> 15_u32);
"#,
            $sign,
            "    table.embedding(&(hash % table.size(0) as u32))",
            $signed,
            "\n}"
        )
    };
}

const NGRAM: &str = ngram!("", "", "");

/// The same with a second hash, so that two n-grams that share a row need not agree.
const SIGNED_NGRAM: &str = ngram!(
    ", and gives a sign",
    "    let sign = (&hash >> 31_u32).cast(DType::F32).affine(2.0, -1.0).unsqueeze(2);\n",
    " * sign"
);

/// Orders of n-grams: the constant for the rows of their table, its value, and their name.
const ORDERS: &[(usize, &str, &str, &str)] = &[
    (2, "BIGRAM_ROWS", "8192", "2-grams"),
    (3, "TRIGRAM_ROWS", "16_384", "3-grams"),
    (4, "FOURGRAM_ROWS", "32_768", "4-grams"),
    (5, "FIVEGRAM_ROWS", "65_536", "5-grams"),
];

/// Drafts the tables of the given orders behind the table of tokens, and the function that looks them up.
fn tables<'g, 'a>(guest: &'g Guest<'a>, trunk: &Trunk, orders: &[(usize, &str, &str, &str)]) -> Draft<'g, 'a> {
    let mut draft = Draft::new(guest);
    for (order, constant, rows, name) in orders {
        let width = format!("{}.weight({}).size(1)", trunk.table.net, guest.words(&trunk.table.call.args[1]));
        let init = format!("Tensor::zeros([{constant}, {width}])");
        draft = draft.constant(constant, "usize", rows, &format!("rows of the table of hashed {name}")).parameter(
            &trunk.table,
            &trunk.table.group,
            &format!("(\"ngram\", {order})"),
            &init,
        );
    }
    draft.shared("ngram", &[NGRAM, SIGNED_NGRAM])
}

/// Adds tables to the embedding of the tokens.
fn at_the_input(guest: &Guest, orders: &[(usize, &str, &str, &str)]) -> Option<Change> {
    let trunk = trunk(guest)?;
    let terms: Vec<String> =
        orders.iter().map(|(order, ..)| format!("ngram({}, {order}, {})", trunk.net, trunk.tokens)).collect();
    let names: Vec<&str> = orders.iter().map(|(.., name)| *name).collect();
    tables(guest, &trunk, orders)
        .wrap(&trunk.embed, "(", format!(" + {})", terms.join(" + ")))
        .done(format!("hashed {} beside the token's embedding", names.join(", ")))
}

pub fn bigrams(guest: &Guest) -> Vec<Change> {
    at_the_input(guest, &ORDERS[..1]).into_iter().collect()
}

pub fn trigrams(guest: &Guest) -> Vec<Change> {
    at_the_input(guest, &ORDERS[1..2]).into_iter().collect()
}

pub fn longer_ngrams(guest: &Guest) -> Vec<Change> {
    [&ORDERS[2..3], &ORDERS[3..]].into_iter().filter_map(|orders| at_the_input(guest, orders)).collect()
}

pub fn several_ngrams(guest: &Guest) -> Vec<Change> {
    [&ORDERS[..2], &ORDERS[..3], ORDERS].into_iter().filter_map(|orders| at_the_input(guest, orders)).collect()
}

/// Adds tables to the stream before each layer, by a learned share.
pub fn ngrams_at_each_layer(guest: &Guest) -> Vec<Change> {
    let change = |orders: &[(usize, &str, &str, &str)]| {
        let trunk = trunk(guest)?;
        let layers = trunk.layers(guest)?;
        let (net, stream) = (&trunk.net, &layers.stream);
        let terms: Vec<String> =
            orders.iter().map(|(order, ..)| format!("ngram({net}, {order}, {})", trunk.tokens)).collect();
        let names: Vec<&str> = orders.iter().map(|(.., name)| *name).collect();
        let share = read(net, "ngram_share", &layers.layer);
        tables(guest, &trunk, orders)
            .number("NGRAM_SHARE", "0.5", "first share of the n-grams in the stream before a layer")
            .parameter(
                &layers.declared,
                &scalar_group(guest, &trunk)?,
                &format!("(\"ngram_share\", {})", layers.declared.key.layer.as_deref()?),
                "Tensor::full([1], NGRAM_SHARE)",
            )
            .before(&layers.range, &format!("let ngrams = {};", terms.join(" + ")))
            .before(
                &edit::range(layers.found.body.stmts.first()?),
                &format!("{stream} = &{stream} + &ngrams * {share};"),
            )
            .done(format!("hashed {} in the stream before each layer", names.join(", ")))
    };
    [&ORDERS[..1], &ORDERS[..3]].into_iter().filter_map(change).collect()
}

pub fn signed_ngrams(guest: &Guest) -> Vec<Change> {
    let function = guest.item("ngram").filter(|item| same_code(guest.words(*item), NGRAM));
    let change = |item| Change {
        description: "hashed n-grams: a second hash gives the sign of a row".into(),
        edits: vec![Edit { range: edit::range(item), text: SIGNED_NGRAM.into() }],
    };
    function.map(change).into_iter().collect()
}

const SMEARED: &str = r#"/// Adds to each position's embedding a share of the one before, as a gate decides.
fn smeared(net: &Net, x: Tensor) -> Tensor {
    let before = x.pad(1, 1, 0).narrow(1, 0, x.size(1));
    let weight = net.weight("smear_gate");
    let gate = x.narrow(2, 0, weight.size(1)).linear(&weight).sigmoid() * net.weight("smear_share");
    x + before * gate
}"#;

pub fn smear(guest: &Guest) -> Vec<Change> {
    let change = || {
        let trunk = trunk(guest)?;
        let table = &trunk.table;
        let width = format!("{}.weight({}).size(1)", table.net, guest.words(&table.call.args[1]));
        Draft::new(guest)
            .constant("SMEAR_INPUTS", "usize", "12", "channels that decide how much of the token before is added")
            .number("SMEAR_SHARE", "0.3", "first weight of the token before")
            .item("smeared", SMEARED)
            .parameter(table, &table.group, "\"smear_gate\"", &format!("Tensor::zeros([1, SMEAR_INPUTS.min({width})])"))
            .parameter(table, &scalar_group(guest, &trunk)?, "\"smear_share\"", "Tensor::full([1], SMEAR_SHARE)")
            .wrap(&trunk.embed, format!("smeared({}, ", trunk.net), ")")
            .done("smear: a gated share of the token before in each embedding")
    };
    change().into_iter().collect()
}

const WITH_VALUES: &str = r#"/// Values of attention with a vector for each token, looked up in a table of its own, added by a learned share.
fn with_value_embedding(net: &Net, layer: usize, v: &Tensor, tokens: &Tensor) -> Tensor {
    let shape = v.shape();
    let rows = net.embed(("token_values", layer), tokens).narrow(2, 0, shape[2] * shape[3]);
    v + (rows * net.weight(("token_share", layer))).reshape(shape)
}"#;

/// On which layers there are value embeddings, or adds them.
pub fn value_embeddings(guest: &Guest) -> Vec<Change> {
    let reads = &guest.reads;
    let layered = reads.iter().filter(|read| read.call.method == "embed" && read.key.layer.is_some());
    let mut changes: Vec<Change> = Vec::new();
    let mut has_some = false;
    for read in layered {
        has_some = true;
        let Some(declared) = guest.declarations.iter().find(|d| d.key.meets(&read.key)) else { continue };
        let Some(chooser) = chooser(guest, &declared.statement) else { continue };
        let body = edit::range(chooser.block);
        let Some((layer, _)) = chooser.parameters().next() else { continue };
        for (words, value) in [("every layer", "true"), ("no layer", "false")] {
            let new = format!("{{\n    let _ = {layer};\n    {value}\n}}");
            if !same_code(guest.at(&body), &new) {
                changes.push(Change {
                    description: format!("value embeddings on {words}"),
                    edits: vec![Edit { range: body.clone(), text: new }],
                });
            }
        }
    }
    if !has_some {
        changes.extend(added_values(guest));
    }
    changes
}

/// The guest's function from a layer to a yes or no that decides whether a statement runs.
fn chooser<'g, 'a>(guest: &'g Guest<'a>, statement: &Range<usize>) -> Option<&'g Function<'a>> {
    struct Ifs<'p, 'a>(&'p Range<usize>, Option<&'a Expr>);
    impl<'a> Visit<'a> for Ifs<'_, 'a> {
        fn visit_expr_if(&mut self, found: &'a syn::ExprIf) {
            if holds(&edit::range(&found.then_branch), self.0) {
                self.1 = Some(&found.cond);
            }
            syn::visit::visit_expr_if(self, found);
        }
    }
    let mut ifs = Ifs(statement, None);
    ifs.visit_file(guest.file);
    let Expr::Call(call) = ifs.1? else { return None };
    let Expr::Path(path) = &*call.func else { return None };
    let function = guest.tree.function(&path.path.get_ident()?.to_string())?;
    let chooses = matches!(&function.signature.output, syn::ReturnType::Type(_, ty) if is(ty, "bool"));
    (chooses && function.parameters().count() == 1).then_some(function)
}

fn added_values(guest: &Guest) -> Option<Change> {
    let trunk = trunk(guest)?;
    let found = attentions(guest);
    let [attention] = &found[..] else { return None };
    let function = guest.tree.function_at(&attention.range)?;
    function.borrows(&trunk.tokens, "Tensor").then_some(())?;
    let Context { net, layer, declared, .. } = context(guest, &attention.range)?;
    // The sizes are read off the table of tokens, which must exist by then.
    let function_of = |place| guest.tree.function_at(place).map(|function| function.range.clone());
    let is_before = trunk.table.statement.end < declared.statement.start
        && function_of(&trunk.table.statement) == function_of(&declared.statement);
    is_before.then_some(())?;
    let own = declared.key.layer.as_deref()?;
    let table = format!("{}.weight({})", trunk.table.net, guest.words(&trunk.table.call.args[1]));
    let values = edit::range(attention.v);
    Draft::new(guest)
        .number("TOKEN_SHARE", "0.5", "first share of a token's own values in those of attention")
        .item("with_value_embedding", WITH_VALUES)
        .parameter(
            &declared,
            &trunk.table.group,
            &format!("(\"token_values\", {own})"),
            &format!("Tensor::normal([{table}.size(0), {table}.size(1)], 0.0, 1.0)"),
        )
        .parameter(
            &declared,
            &scalar_group(guest, &trunk)?,
            &format!("(\"token_share\", {own})"),
            "Tensor::full([1], TOKEN_SHARE)",
        )
        .wrap(&values, format!("&with_value_embedding({net}, {layer}, "), format!(", {})", trunk.tokens))
        .done("value embeddings on every layer")
}

/// The gate of value embeddings or of heads: how many channels decide, and how far it opens.
pub fn gates(guest: &Guest) -> Vec<Change> {
    let mut changes = Vec::new();
    for narrow in guest.tree.calls_of("narrow").filter(|call| call.node.args.len() == 3) {
        let from_first = guest.words(&narrow.node.args[1]) == "0";
        let Some(constant) = guest.constant(&narrow.node.args[2]).filter(|_| from_first) else { continue };
        if let Value::Integer(now) = constant.value {
            for inputs in [12, 32].into_iter().filter(|&inputs| inputs < now) {
                let (edit, words) = constant.set(Value::Integer(inputs));
                changes.push(Change { description: format!("inputs of a gate: {words}"), edits: vec![edit] });
            }
        }
    }
    let mut opened = Opened(Vec::new());
    opened.visit_file(guest.file);
    if let [factor] = &opened.0[..] {
        let draft = Draft::new(guest)
            .number("GATE_RANGE", "3.0", "how far a gate opens at most")
            .replace(&edit::range(*factor), "GATE_RANGE");
        changes.extend(draft.done(format!("a gate's range: {} → 3", guest.words(*factor))));
    }
    changes
}

/// Literals that multiply the result of a sigmoid.
struct Opened<'a>(Vec<&'a Expr>);

impl<'a> Visit<'a> for Opened<'a> {
    fn visit_expr_binary(&mut self, product: &'a syn::ExprBinary) {
        let is_gate = |expr: &Expr| matches!(expr, Expr::MethodCall(call) if call.method == "sigmoid");
        if matches!(product.op, syn::BinOp::Mul(_)) && matches!(&*product.left, Expr::Lit(_)) && is_gate(&product.right)
        {
            self.0.push(&product.left);
        }
        syn::visit::visit_expr_binary(self, product);
    }
}
