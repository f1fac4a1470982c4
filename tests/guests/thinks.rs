//! Computes by itself, in WebAssembly, before each step: work that the budget pays.
use guest_sdk::prelude::*;

const INSTRUCTIONS: u32 = 400_000; // rounds of a loop of some instructions each

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    net.embed("table", tokens)
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("all"), 0.1);
    let mut state = 1u32;
    while let Some(batch) = lab.next_batch(8, 32) {
        for _ in 0..INSTRUCTIONS {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) ^ state >> 16;
        }
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets) + (state & 1) as f32 * 1e-9;
        adam.step(&loss.backward(), 1.0);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
