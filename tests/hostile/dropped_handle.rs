//! `stale-handle`: forges a handle to a tensor that it has dropped.
use guest_sdk::bindings::lab::train::tensors;
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    let dropped = tensors::full(&[1], 1.0);
    let index = dropped.handle();
    drop(dropped);
    // SAFETY: none; that is the point.
    let ghost = unsafe { tensors::Tensor::from_handle(index) };
    ghost.read();
}

guest!(train, model);
