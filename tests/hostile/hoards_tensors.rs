//! `tensor-limit`: keeps every tensor that it makes.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    let mut hoard = Vec::new();
    loop {
        hoard.push(Tensor::zeros([1024, 1024]));
    }
}

guest!(train, model);
