//! `misuse`: a parameter named like a path.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    Net::new().parameter("all", "../../etc/passwd", Tensor::zeros([1]));
}

guest!(train, model);
