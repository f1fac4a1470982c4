//! One model for each context length from 32 on, whose causality is proved but for the first. `tests/causality.rs`
//! tries them all.
use guest_sdk::prelude::*;

const WIDTH: usize = 16;
const HASHED: usize = 512; // rows of the table of hashed pairs

/// What a layer may be.
fn layer(net: &Net, context: usize, x: &Tensor, tokens: &Tensor) -> Tensor {
    match context {
        32 => soft_mask(net, x),
        33 => masked(net, x, f32::NEG_INFINITY).softmax().matmul(x),
        34 => by_hand(net, x),
        35 => multiplied(net, x),
        36 => convolution(net, x),
        37 => chunks(net, x),
        38 => net.embed("hashed", &pairs(tokens)),
        39 => x * 0.5 + earlier(x, 1) * x.linear(&net.weight("a")).sigmoid(),
        40 => experts(net, x),
        41 => linear_attention(net, x),
        42 => windowed(net, x),
        43 => chosen_expert(net, x),
        44 => mean_so_far(x),
        other => panic!("no model for a context of {other}"),
    }
}

fn scores(net: &Net, x: &Tensor) -> Tensor {
    x.linear(&net.weight("a")).matmul_transposed(&x.linear(&net.weight("b")), false, true)
}

/// Where a position sees another.
fn seen(time: usize) -> Tensor {
    Tensor::arange(time).le(Tensor::arange(time).reshape([time, 1]))
}

fn soft_mask(net: &Net, x: &Tensor) -> Tensor {
    let hidden = seen(x.size(1)).cast(DType::F32).affine(1e9, -1e9);
    (scores(net, x) + hidden).softmax().matmul(x)
}

fn masked(net: &Net, x: &Tensor, hidden: f32) -> Tensor {
    seen(x.size(1)).select(&scores(net, x), &Tensor::full([], hidden))
}

/// Softmax of small operations, with the maximum taken off.
fn by_hand(net: &Net, x: &Tensor) -> Tensor {
    let hidden = (1.0 - Tensor::ones([x.size(1), x.size(1)]).tril(0)) * -1e30;
    let scores = masked(net, x, f32::NEG_INFINITY) + hidden.tril(0);
    let weights = (&scores - scores.max_over([2])).exp();
    (&weights / weights.sum_over([2])).matmul(x)
}

/// A mask of ones and zeros, and a decay by distance.
fn multiplied(net: &Net, x: &Tensor) -> Tensor {
    let time = x.size(1);
    let place = Tensor::arange(time).cast(DType::F32);
    let distance = place.reshape([time, 1]) - &place;
    let decay = (distance * -0.1).exp().tril(0);
    (scores(net, x) * decay).matmul(x)
}

/// What each position held `by` positions earlier; zeros before the first.
fn earlier(x: &Tensor, by: usize) -> Tensor {
    x.pad(1, by, 0).narrow(1, 0, x.size(1))
}

fn convolution(net: &Net, x: &Tensor) -> Tensor {
    x.linear(&net.weight("a")) + earlier(x, 1).linear(&net.weight("b")) + earlier(x, 3).roll(2, 1)
}

/// A state that is carried from chunk to chunk, with attention within each.
fn chunks(net: &Net, x: &Tensor) -> Tensor {
    let (rows, time) = (x.size(0), x.size(1));
    let mut state = Tensor::zeros([rows, 1, WIDTH]);
    let mut parts = Vec::new();
    let mut start = 0;
    while start < time {
        let length = (time - start).min(8);
        let part = x.narrow(1, start, length);
        let within = masked(net, &part, f32::NEG_INFINITY).softmax().matmul(&part);
        parts.push(within + &state);
        state = state * 0.9 + part.mean_over([1]);
        start += length;
    }
    let parts: Vec<&Tensor> = parts.iter().collect();
    Tensor::cat(&parts, 1)
}

/// A row of the table for each pair of tokens.
fn pairs(tokens: &Tensor) -> Tensor {
    let hash = tokens * 2654435761u32 ^ earlier(tokens, 1) * 40503u32;
    (hash >> 9u32) % HASHED as u32
}

/// Two experts, mixed by a gate.
fn experts(net: &Net, x: &Tensor) -> Tensor {
    let gates = x.narrow(2, 0, 2).softmax();
    let [first, second] = ["a", "b"].map(|name| x.linear(&net.weight(name)).relu_squared());
    first * gates.narrow(2, 0, 1) + second * gates.narrow(2, 1, 1)
}

/// The best of the experts for each position, by its index.
fn chosen_expert(net: &Net, x: &Tensor) -> Tensor {
    let (best, which) = x.narrow(2, 0, 4).topk(1);
    let outputs = Tensor::stack(&[x, &x.linear(&net.weight("a")), &x.linear(&net.weight("b")), &x.square()], 2);
    let which = which.unsqueeze(3).expand([x.size(0), x.size(1), 1, WIDTH]);
    outputs.gather(2, &which).reshape([x.size(0), x.size(1), WIDTH]) * best.sigmoid()
}

/// Sums of keys times values so far.
fn linear_attention(net: &Net, x: &Tensor) -> Tensor {
    let (rows, time) = (x.size(0), x.size(1));
    let [q, k] = ["a", "b"].map(|name| x.linear(&net.weight(name)).sigmoid());
    let outer = k.unsqueeze(3) * x.unsqueeze(2);
    let sums = outer.cumsum(1);
    let top = q.reshape([rows, time, 1, WIDTH]).matmul(&sums).reshape([rows, time, WIDTH]);
    top / (q * k.cumsum(1)).sum_over([2])
}

/// Attention within a window: two masks, one after the other.
fn windowed(net: &Net, x: &Tensor) -> Tensor {
    let near = Tensor::ones([x.size(1), x.size(1)]).triu(-4).log();
    (masked(net, x, f32::NEG_INFINITY) + near).softmax().matmul(x)
}

/// The mean of all positions so far.
fn mean_so_far(x: &Tensor) -> Tensor {
    let time = x.size(1);
    let count = (Tensor::arange(time) + 1u32).cast(DType::F32).reshape([time, 1]);
    x.cumsum(1) / count
}

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let x = net.embed("wte", tokens).rms_norm();
    let y = layer(net, tokens.size(1), &x, tokens);
    (x + y).rms_norm().linear(&net.weight("head"))
}

fn train(lab: &mut Lab) {
    let Task { vocab, context, .. } = lab.task();
    let mut net = Net::new();
    net.parameter("all", "wte", Tensor::normal([vocab, WIDTH], 0.0, 1.0));
    net.parameter("all", "hashed", Tensor::normal([HASHED, WIDTH], 0.0, 0.1));
    for name in ["a", "b"] {
        net.parameter("all", name, Tensor::normal([WIDTH, WIDTH], 0.0, 0.25));
    }
    net.parameter("all", "head", Tensor::zeros([vocab, WIDTH]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("all"), 0.02);
    while let Some(batch) = lab.next_batch(8, context) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
