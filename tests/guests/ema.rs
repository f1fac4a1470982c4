//! A bigram table whose running average, a named buffer, is what evaluation uses.
use guest_sdk::prelude::*;

const DECAY: f32 = 0.95; // share of the average that each step keeps
const LR: f32 = 0.1;

fn logits(net: &Net, table: &str, tokens: &Tensor) -> Tensor {
    net.embed(table, tokens)
}

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    logits(net, "average", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("tables", "live", Tensor::zeros([vocab, vocab]));
    net.buffer("average", Tensor::zeros([vocab, vocab]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("tables"), LR);
    while let Some(batch) = lab.next_batch(8, 32) {
        let loss = logits(&net, "live", &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0);
        net.weight("average")
            .blend(DECAY, &net.weight("live"), 1.0 - DECAY);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
