//! `misuse`: a parameter of the wrong type with a name of a megabyte.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    Net::new().parameter("all", "n".repeat(1 << 20).as_str(), Tensor::zeros([1]).cast(DType::U32));
}

guest!(train, model);
