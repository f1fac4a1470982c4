//! `bad-eval: logit shape`: one prediction per row instead of one per position.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens).mean_over([1])
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    Net::new().parameter("all", "table", Tensor::zeros([vocab, vocab]));
    lab.next_batch(8, 32);
}

guest!(train, model);
