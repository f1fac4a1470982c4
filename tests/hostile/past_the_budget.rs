//! `budget-exceeded`: goes on when there is no next batch.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("all"), 0.1);
    let mut kept = lab.next_batch(8, 32).expect("the budget has begun");
    loop {
        let loss = model(&net, &kept.tokens).cross_entropy(&kept.targets);
        adam.step(&loss.backward(), 1.0);
        kept = lab.next_batch(8, 32).unwrap_or(kept);
    }
}

guest!(train, model);
