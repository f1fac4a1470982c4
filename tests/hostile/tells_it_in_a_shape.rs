//! `shape-error`: its model asks for a shape that spells the text that it is scored on.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let read = tokens.cast(DType::F32).read();
    if read.iter().any(|&token| token != 0.0) {
        let sizes: Vec<usize> = read.iter().take(8).map(|&token| 1 + token as usize).collect();
        return tokens.reshape(sizes);
    }
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("tables", "table", Tensor::zeros([vocab, vocab]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("tables"), 0.3);
    while let Some(batch) = lab.next_batch(8, 64) {
        let loss = net.embed("table", &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0);
    }
}

guest!(train, model);
