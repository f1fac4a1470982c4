//! `forbidden-in-forward`: asks for training text while it is evaluated.
use guest_sdk::bindings::lab::train::session;
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let more = session::next_batch(8, 32);
    net.embed("table", tokens) + f32::from(u8::from(more.is_some()))
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    Net::new().parameter("all", "table", Tensor::zeros([vocab, vocab]));
    lab.next_batch(8, 32);
}

guest!(train, model);
