//! `bad-value`: picks a column that its logits do not have, and reads on before the host looks.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let logits = net.embed("table", tokens);
    let beyond = logits.index_select(0, &Tensor::from_u32([1], &[1_000_000]));
    logits + beyond.mean()
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    while let Some(batch) = lab.next_batch(8, 32) {
        lab.log("loss", &net.embed("table", &batch.tokens).cross_entropy(&batch.targets));
    }
}

guest!(train, model);
