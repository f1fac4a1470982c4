//! The yardstick's model as a guest: RMSNorm, RoPE, QK-norm, causal attention, ReLU², an output matrix of its own,
//! softcap, cross-entropy, AdamW. `kernels/examples/step` drives the same operations natively.
use guest_sdk::prelude::*;

const DEPTH: usize = 4; // layers
const WIDTH: usize = 128; // model width
const HEADS: usize = 4; // attention heads
const BATCH: usize = 16; // sequences per step
const SEQ: usize = 128; // tokens per sequence
const ROPE_BASE: f32 = 10000.0;
const SOFTCAP: f32 = 15.0; // logits stay within ± this
const LR: f32 = 0.001;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    hidden(net, tokens)
        .linear(&net.weight("head"))
        .softcap(SOFTCAP)
}

/// What the output matrix reads.
fn hidden(net: &Net, tokens: &Tensor) -> Tensor {
    let mut x = net.embed("wte", tokens).rms_norm();
    for layer in 0..DEPTH {
        x = &x + attention(net, layer, &x.rms_norm());
        x = &x + mlp(net, layer, &x.rms_norm());
    }
    x.rms_norm()
}

fn attention(net: &Net, layer: usize, x: &Tensor) -> Tensor {
    let heads = |name| {
        x.linear(&net.weight((name, layer)))
            .heads(WIDTH / HEADS)
    };
    let q = heads("q").rope(ROPE_BASE).rms_norm();
    let k = heads("k").rope(ROPE_BASE).rms_norm();
    q.attention(&k, &heads("v"), 0)
        .merge_heads()
        .linear(&net.weight(("o", layer)))
}

fn mlp(net: &Net, layer: usize, x: &Tensor) -> Tensor {
    let hidden = x.linear(&net.weight(("fc", layer))).relu_squared();
    hidden.linear(&net.weight(("proj", layer)))
}

fn init(task: &Task) -> Net {
    let bound = (3.0 / WIDTH as f32).sqrt(); // uniform within ± this: variance 1/width
    let table = |std| Tensor::normal([task.vocab, WIDTH], 0.0, std);
    let mut net = Net::new();
    net.parameter("all", "wte", table(1.0));
    for layer in 0..DEPTH {
        for part in ["q", "k", "v"] {
            let random = Tensor::uniform([WIDTH, WIDTH], -bound, bound);
            net.parameter("all", (part, layer), random);
        }
        net.parameter("all", ("o", layer), Tensor::zeros([WIDTH, WIDTH]));
        let random = Tensor::uniform([4 * WIDTH, WIDTH], -bound, bound);
        net.parameter("all", ("fc", layer), random);
        net.parameter("all", ("proj", layer), Tensor::zeros([WIDTH, 4 * WIDTH]));
    }
    net.parameter("all", "head", table(0.001));
    net
}

fn train(lab: &mut Lab) {
    let net = init(&lab.task());
    let mut adam = AdamW::new(0.8, 0.95, 0.0).group(net.group("all"), LR);
    while let Some(batch) = lab.next_batch(BATCH, SEQ) {
        let x = hidden(&net, &batch.tokens);
        let loss = x.linear_cross_entropy(&net.weight("head"), &batch.targets, SOFTCAP, 0.0);
        adam.step(&loss.backward(), 1.0);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
