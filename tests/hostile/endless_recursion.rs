//! `stack-overflow`: a function that only calls itself, and works on what comes back.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn deeper(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { deeper(depth + 1).rotate_left(7) ^ depth }
}

fn train(lab: &mut Lab) {
    lab.log_number("depth", deeper(0) as f64);
}

guest!(train, model);
