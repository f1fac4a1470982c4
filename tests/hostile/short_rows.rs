//! `fuel-exhausted`: rows of one token, which cost the host more than their tokens do.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(lab: &mut Lab) {
    while lab.next_batch(1 << 20, 1).is_some() {}
}

guest!(train, model);
