//! `completed`: logs far more than is kept, under keys and with text made for a terminal.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("all"), 0.1);
    while let Some(batch) = lab.next_batch(8, 32) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0);
        for i in 0..100 {
            lab.log("\u{1b}[31mflood", &loss);
            lab.log_number("flood", f64::from(i));
        }
    }
}

guest!(train, model);
