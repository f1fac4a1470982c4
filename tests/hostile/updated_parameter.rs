//! `stale-graph`: changes a parameter between loss and gradient.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens).linear(&net.weight("table"))
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    if let Some(batch) = lab.next_batch(8, 32) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        net.weight("table").assign(&Tensor::ones([vocab, vocab]));
        loss.backward();
    }
}

guest!(train, model);
