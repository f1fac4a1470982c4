//! A language model without attention: gated layers that look back by growing distances.
use guest_sdk::prelude::*;

const DEPTH: usize = 5; // layers; layer l looks back by 2^l tokens
const WIDTH: usize = 128;
const BATCH: usize = 16;
const SEQ: usize = 128;
const LR: f32 = 0.002;

/// What each position held `by` positions earlier; zeros before the first.
fn earlier(x: &Tensor, by: usize) -> Tensor {
    let shape = x.shape();
    let [batch, time, width] = shape[..] else {
        panic!("[batch, time, width] expected, got {shape:?}");
    };
    let by = by.min(time - 1);
    let before = Tensor::zeros([batch, by, width]);
    Tensor::cat(&[&before, &x.narrow(1, 0, time - by)], 1)
}

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let mut x = net.embed("wte", tokens).rms_norm();
    for layer in 0..DEPTH {
        let now = x.rms_norm();
        let past = earlier(&now, 1 << layer);
        let gate = now.linear(&net.weight(("gate", layer))).sigmoid();
        let value = past.linear(&net.weight(("value", layer))) + now.linear(&net.weight(("same", layer)));
        x = &x + (gate * value.gelu()).linear(&net.weight(("out", layer)));
    }
    x.rms_norm().linear(&net.weight("head"))
}

fn init(task: &Task) -> Net {
    let bound = (3.0 / WIDTH as f32).sqrt();
    let mut net = Net::new();
    net.parameter("all", "wte", Tensor::normal([task.vocab, WIDTH], 0.0, 1.0));
    for layer in 0..DEPTH {
        for part in ["gate", "value", "same"] {
            let random = Tensor::uniform([2 * WIDTH, WIDTH], -bound, bound);
            net.parameter("all", (part, layer), random);
        }
        net.parameter("all", ("out", layer), Tensor::zeros([WIDTH, 2 * WIDTH]));
    }
    net.parameter("all", "head", Tensor::zeros([task.vocab, WIDTH]));
    net
}

fn train(lab: &mut Lab) {
    let net = init(&lab.task());
    let mut adam = AdamW::new(0.9, 0.95, 0.01).group(net.group("all"), LR);
    while let Some(batch) = lab.next_batch(BATCH, SEQ) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0 - lab.progress());
        lab.log("loss", &loss);
    }
}

guest!(train, model);
