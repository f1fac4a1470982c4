//! `forbidden-in-forward`: adds noise to its logits.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let logits = net.embed("table", tokens);
    &logits + Tensor::normal(logits.shape(), 0.0, 1.0)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    Net::new().parameter("all", "table", Tensor::zeros([vocab, vocab]));
    lab.next_batch(8, 32);
}

guest!(train, model);
