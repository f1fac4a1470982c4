//! One model for each context length, each with a way to see what it may not, and behind it the operation that is named
//! for it. `tests/causality.rs` tries them all.
use guest_sdk::prelude::*;

fn leak(net: &Net, context: usize, x: &Tensor, tokens: &Tensor) -> Tensor {
    let (rows, time, vocab) = (x.size(0), x.size(1), x.size(2));
    let (a, b) = (net.weight("a"), net.weight("b"));
    match context {
        32 => {
            let after = Tensor::cat(&[&x.narrow(1, 1, time - 1), &x.narrow(1, 0, 1)], 1); // looks ahead: narrow
            x.linear(&a) + after
        }
        33 => x.roll(1, -1), // looks ahead: narrow
        34 => x.flip(1), // looks ahead: embedding
        35 => {
            let places = (Tensor::arange(time) + 1u32).minimum(time as u32 - 1);
            x.index_select(1, &places) // looks ahead: embedding
        }
        36 => {
            let (sorted, _) = tokens.cast(DType::F32).sort(false); // looks ahead: gather
            sorted.unsqueeze(2) * 0.01
        }
        37 => x.sum_over([1]) * 0.01, // looks ahead: sum
        38 => x.flip(1).cumsum(1).flip(1) * 0.01, // looks ahead: embedding
        39 => {
            let scores = x.linear(&a).matmul_transposed(&x.linear(&b), false, true);
            scores.softmax().matmul(x) // looks ahead: matmul
        }
        40 => x.argmax(1).cast(DType::F32).reshape([rows, 1, vocab]) * 0.01, // looks ahead: argmax
        41 => {
            let counts = Tensor::zeros([rows, vocab]).scatter_add(1, tokens, &Tensor::ones([rows, time])); // looks ahead: scatter-add
            counts.unsqueeze(1) * 0.1
        }
        42 => {
            let next = tokens.narrow(1, 1, time - 1).pad(1, 0, 1); // looks ahead: narrow
            let rare = next.eq(7u32).cast(DType::F32).unsqueeze(2);
            next.one_hot(vocab) * rare
        }
        43 => {
            let h = x.narrow(2, 0, 32).heads(16);
            let y = h.attention_with(&h, &h, false, 0, 1.0).merge_heads(); // looks ahead: attention
            y.mean_over([2]) * 1e-3
        }
        44 => x.mean_over([0]), // mixes rows: mean
        45 => x.mean_over([0, 1]) * 0.1, // mixes rows: mean
        46 => tokens.narrow(1, 0, 1).roll(0, 1).one_hot(vocab) * 0.05, // mixes rows: cat
        47 => x.reshape([rows * time, vocab]).cumsum(0).reshape([rows, time, vocab]) * 0.01, // mixes rows: cumsum
        48 => x.permute([1, 0, 2]).max_over([1]).permute([1, 0, 2]) * 0.1, // mixes rows: max
        other => panic!("no model for a context of {other}"),
    }
}

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let x = net.embed("table", tokens);
    &x + leak(net, tokens.size(1), &x, tokens)
}

fn train(lab: &mut Lab) {
    let Task { vocab, context, .. } = lab.task();
    let mut net = Net::new();
    for name in ["table", "a", "b"] {
        net.parameter("all", name, Tensor::normal([vocab, vocab], 0.0, 0.02));
    }
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("all"), 0.1);
    while let Some(batch) = lab.next_batch(8, context) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0);
    }
}

guest!(train, model);
