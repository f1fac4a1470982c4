//! `bad-eval: not finite`: logits are the logarithm of -1.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    (net.embed("table", tokens).square() - 1.0).log()
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    Net::new().parameter("all", "table", Tensor::zeros([vocab, vocab]));
    lab.next_batch(8, 32);
}

guest!(train, model);
