//! Refused before it compiles: includes a file of the machine.
use guest_sdk::prelude::*;

const USERS: &str = include_str!("/etc/passwd");

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(lab: &mut Lab) {
    lab.log_number("bytes", USERS.len() as f64);
}

guest!(train, model);
