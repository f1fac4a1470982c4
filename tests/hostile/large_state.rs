//! `state-too-large`: keeps a buffer beyond the limit of what a model may be.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    net.buffer("ballast", Tensor::zeros([3 << 20]));
    lab.next_batch(8, 32);
}

guest!(train, model);
