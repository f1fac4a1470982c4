//! `bad-eval: no learning`: computes losses, but never changes a parameter.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    while let Some(batch) = lab.next_batch(8, 32) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
