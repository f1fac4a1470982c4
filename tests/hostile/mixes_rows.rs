//! `bad-eval: mixes rows`: adds the mean over the batch to every row.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let x = net.embed("table", tokens);
    &x + x.mean_over([0])
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::normal([vocab, vocab], 0.0, 0.02));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("all"), 0.1);
    while let Some(batch) = lab.next_batch(8, 32) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0);
    }
}

guest!(train, model);
