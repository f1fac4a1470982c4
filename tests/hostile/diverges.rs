//! `diverged`: the loss grows without bound, and the guest goes on.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    let mut scale = 1.0;
    while let Some(batch) = lab.next_batch(8, 32) {
        scale *= 1e30;
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets) * scale;
        lab.log("loss", &loss);
    }
}

guest!(train, model);
