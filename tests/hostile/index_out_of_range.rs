//! `bad-value`: looks up a row that its table does not have.
use guest_sdk::prelude::*;

fn model(_: &Net, tokens: &Tensor) -> Tensor {
    tokens.clone()
}

fn train(lab: &mut Lab) {
    let table = Tensor::ones([4, 8]);
    let rows = table.embedding(&Tensor::from_u32([2], &[3, 4]));
    lab.log("sum", &rows.sum());
    lab.next_batch(8, 32);
}

guest!(train, model);
