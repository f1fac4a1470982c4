//! `panic`: ends with words that try to clear the reader's screen.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(_: &mut Lab) {
    panic!("famous \u{1b}[2J\u{1b}]0;pwned\u{7}last words");
}

guest!(train, model);
