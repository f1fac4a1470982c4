//! `bad-value`: looks up a row that its table does not have.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    let beyond = net.embed("table", &Tensor::from_u32([2], &[0, vocab as u32]));
    lab.log("sum", &beyond.sum());
    lab.next_batch(8, 32);
}

guest!(train, model);
