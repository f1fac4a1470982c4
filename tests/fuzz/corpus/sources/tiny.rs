//! A bigram model with one hidden layer: the smallest guest that learns.
use guest_sdk::prelude::*;

const WIDTH: usize = 16;
const BATCH: usize = 8;
const SEQ: usize = 32;
const LR: f32 = 0.02;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let x = net.embed("wte", tokens).rms_norm();
    let hidden = x.linear(&net.weight("fc")).relu_squared();
    (x + hidden.linear(&net.weight("proj"))).linear(&net.weight("head"))
}

fn init(task: &Task) -> Net {
    let width = (WIDTH as f32 * task.scale) as usize;
    let mut net = Net::new();
    net.parameter("all", "wte", Tensor::normal([task.vocab, width], 0.0, 1.0));
    net.parameter("all", "fc", Tensor::normal([2 * width, width], 0.0, 0.2));
    net.parameter("all", "proj", Tensor::zeros([width, 2 * width]));
    net.parameter("all", "head", Tensor::zeros([task.vocab, width]));
    net
}

fn train(lab: &mut Lab) {
    let net = init(&lab.task());
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("all"), LR);
    while let Some(batch) = lab.next_batch(BATCH, SEQ) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0 - lab.progress());
        lab.log("loss", &loss);
    }
}

guest!(train, model);
