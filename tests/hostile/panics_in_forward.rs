//! `panic`: its model wants a parameter that was never declared.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("missing", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    Net::new().parameter("all", "table", Tensor::zeros([vocab, vocab]));
    lab.next_batch(8, 32);
}

guest!(train, model);
