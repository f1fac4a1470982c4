//! `bad-eval: too expensive`: `forward` asks for few operations and computes by itself.
use guest_sdk::prelude::*;

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let places = 1usize << 18;
    let mut visits = vec![0u32; places];
    let mut at = 1u32;
    for i in 0..200_000u32 {
        let place = (at >> 8) as usize & (places - 1);
        at = at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223 + visits[place]);
        visits[place] = i;
    }
    net.embed("table", tokens) + (at & 1) as f32
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let mut net = Net::new();
    net.parameter("all", "table", Tensor::zeros([vocab, vocab]));
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("all"), 0.1);
    while let Some(batch) = lab.next_batch(8, 32) {
        let loss = net.embed("table", &batch.tokens).cross_entropy(&batch.targets);
        adam.step(&loss.backward(), 1.0);
    }
}

guest!(train, model);
