//! A layer of attention and an MLP over hashed n-grams: large tables, read at random places and updated whole.
use guest_sdk::prelude::*;

const ORDERS: usize = 2; // n-grams of 2, 3, … tokens
const ROWS: usize = 8192; // of each table, a power of 2
const WIDTH: usize = 96;
const HEAD_DIM: usize = 32;
const BATCH: usize = 18;
const SEQ: usize = 192;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let mut x = net.embed("wte", tokens);
    let mut hash = tokens + 1;
    for order in 0..ORDERS {
        hash = hash * 0x9E37_79B1 + earlier(tokens, order + 1);
        let rows = (&hash ^ (&hash >> 15)) & (ROWS as u32 - 1);
        x = x + net.embed(("ngram", order), &rows);
    }
    let normed = x.rms_norm();
    let part = |name: &str| normed.linear(&net.weight(name)).heads(HEAD_DIM);
    let (q, k, v) = (part("q").rope(1400.0).rms_norm(), part("k").rope(1400.0).rms_norm(), part("v"));
    x = x + q.attention(&k, &v, 0).merge_heads().linear(&net.weight("o"));
    x = &x + x.rms_norm().linear(&net.weight("fc")).relu_squared().linear(&net.weight("proj"));
    x.rms_norm().linear(&net.weight("head")).softcap(10.0)
}

/// The token `back` places before each; 0 where there is none.
fn earlier(tokens: &Tensor, back: usize) -> Tensor {
    tokens.narrow(1, 0, tokens.size(1) - back).pad(1, back, 0)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let random = |rows, columns| Tensor::normal([rows, columns], 0.0, 0.1);
    let mut net = Net::new();
    net.parameter("tables", "wte", random(vocab, WIDTH));
    net.parameter("tables", "head", random(vocab, WIDTH));
    for order in 0..ORDERS {
        net.parameter("tables", ("ngram", order), Tensor::zeros([ROWS, WIDTH]));
    }
    for name in ["q", "k", "v", "o"] {
        net.parameter("matrices", name, random(WIDTH, WIDTH));
    }
    net.parameter("matrices", "fc", random(2 * WIDTH, WIDTH));
    net.parameter("matrices", "proj", Tensor::zeros([WIDTH, 2 * WIDTH]));
    let mut muon = Muon::new(net.group("matrices"), 0.95, 5, 0.1);
    let mut adam = AdamW::new(0.8, 0.95, 0.0).group(net.group("tables"), 0.01);
    while let Some(batch) = lab.next_batch(BATCH, SEQ) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        let grads = loss.backward();
        muon.step(&grads, 0.02);
        adam.step(&grads, 1.0);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
