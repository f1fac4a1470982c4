//! `shape-error`: takes the exponential of tokens.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    if let Some(batch) = lab.next_batch(8, 32) {
        lab.log("sum", &batch.tokens.exp().sum());
    }
}

guest!(train, model);
