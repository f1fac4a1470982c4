//! `stale-handle`: drops one tensor twice.
use guest_sdk::bindings::lab::train::tensors;
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    let tensor = tensors::full(&[1], 1.0);
    // SAFETY: none; that is the point.
    drop(unsafe { tensors::Tensor::from_handle(tensor.handle()) });
    drop(tensor);
}

guest!(train, model);
