//! Many parameters and few tokens: most of a step is the optimizer's, Muon's products and a running average of weights.
use guest_sdk::prelude::*;

const DEPTH: usize = 3;
const WIDTH: usize = 256;
const BATCH: usize = 2;
const SEQ: usize = 64;
const MATRIX_LR: f32 = 0.02;
const TABLE_LR: f32 = 0.01;
const DECAY: f32 = 0.99; // share of the running average that each step keeps

fn forward(net: &Net, suffix: &str, tokens: &Tensor) -> Tensor {
    let weight = |name: &str| net.weight(&*format!("{name}{suffix}"));
    let mut x = weight("wte").embedding(tokens).rms_norm();
    for layer in 0..DEPTH {
        let hidden = x.rms_norm().linear(&weight(&format!("fc{layer}")));
        x = &x + hidden.relu_squared().linear(&weight(&format!("proj{layer}")));
    }
    x.rms_norm().linear(&weight("head"))
}

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    forward(net, ".average", tokens)
}

/// Declares a parameter and the buffer that holds its running average.
fn averaged(net: &mut Net, group: &str, name: &str, init: Tensor) {
    net.buffer(&*format!("{name}.average"), init.clone());
    net.parameter(group, name, init);
}

fn train(lab: &mut Lab) {
    let vocab = lab.task().vocab;
    let bound = (3.0 / WIDTH as f32).sqrt();
    let mut net = Net::new();
    averaged(&mut net, "tables", "wte", Tensor::normal([vocab, WIDTH], 0.0, 1.0));
    averaged(&mut net, "tables", "head", Tensor::zeros([vocab, WIDTH]));
    let mut names = vec!["wte".to_string(), "head".to_string()];
    for layer in 0..DEPTH {
        let (fc, proj) = (format!("fc{layer}"), format!("proj{layer}"));
        averaged(&mut net, "matrices", &fc, Tensor::uniform([2 * WIDTH, WIDTH], -bound, bound));
        averaged(&mut net, "matrices", &proj, Tensor::zeros([WIDTH, 2 * WIDTH]));
        names.extend([fc, proj]);
    }
    let mut muon = Muon::new(net.group("matrices"), 0.95, 5, 0.0);
    let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("tables"), TABLE_LR);
    while let Some(batch) = lab.next_batch(BATCH, SEQ) {
        let loss = forward(&net, "", &batch.tokens).cross_entropy(&batch.targets);
        let grads = loss.backward();
        muon.step(&grads, MATRIX_LR);
        adam.step(&grads, 1.0);
        for name in &names {
            let average = net.weight(&*format!("{name}.average"));
            average.blend(DECAY, &net.weight(&**name), 1.0 - DECAY);
        }
        lab.log("loss", &loss);
    }
}

guest!(train, model);
