//! `misuse`: ends a checkpoint that it never began.
use guest_sdk::bindings::lab::train::autograd;
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(_lab: &mut Lab) {
    autograd::end_checkpoint();
}

guest!(train, model);
