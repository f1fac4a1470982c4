//! `count-limit`: asks for more operations than a run may have, and keeps nothing.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    loop {
        Tensor::zeros([1]);
    }
}

guest!(train, model);
