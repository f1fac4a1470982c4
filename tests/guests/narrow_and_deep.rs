//! Thirty-two narrow layers: each tensor call is small, so the guest's own instructions weigh more than elsewhere.
use guest_sdk::prelude::*;

const WIDTH: usize = 12;
const LAYERS: usize = 32;
const LR: f32 = 0.01;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let mut x = net.embed("wte", tokens).rms_norm();
    for layer in 0..LAYERS {
        x = &x + x.rms_norm().linear(&net.weight(("up", layer))).relu_squared().linear(&net.weight(("down", layer)));
    }
    x.rms_norm().linear(&net.weight("head"))
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "wte", Tensor::normal([vocab, WIDTH], 0.0, 1.0));
    for layer in 0..LAYERS {
        net.parameter("all", ("up", layer), Tensor::normal([WIDTH, WIDTH], 0.0, 0.25));
        net.parameter("all", ("down", layer), Tensor::zeros([WIDTH, WIDTH]));
    }
    net.parameter("all", "head", Tensor::zeros([vocab, WIDTH]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.parameters(), LR);
    while let Some(batch) = lab.next_batch(2, 32) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0 - lab.progress());
        lab.log("loss", &loss);
    }
}

guest!(train, model);
