//! `shape-error`: a product whose inner sizes differ.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    let a = Tensor::ones([16, 128]);
    let b = Tensor::ones([256, 8]);
    a.matmul(&b);
}

guest!(train, model);
