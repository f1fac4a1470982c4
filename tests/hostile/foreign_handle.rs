//! `stale-handle`: uses a handle that it was never given.
use guest_sdk::bindings::lab::train::tensors;
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    // SAFETY: none; that is the point.
    let guess = unsafe { tensors::Tensor::from_handle(4711) };
    guess.read();
}

guest!(train, model);
