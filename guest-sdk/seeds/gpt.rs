//! GPT with Muon: the seed guest. Change anything; the host judges by bits per byte.
//!
//! After autoresearch and modded-nanoGPT, scaled down: RMSNorm, RoPE, QK-norm, ReLU², value embeddings, shortcuts from
//! the first layer's input, sliding windows, capped logits.
use guest_sdk::prelude::*;

// Model.
const DEPTH: usize = 2; // layers
const WIDTH: usize = 96; // model width at scale 1; grows with the scale
const HEAD_DIM: usize = 32; // width of one attention head
const EXPANSION: usize = 2; // hidden units of the MLP per unit of width
const WINDOWS: &[usize] = &[64, 0]; // attention windows, by layer in turn; 0 sees everything, as the last layer does
const ROPE_BASE: f32 = 1400.0; // wavelength of the slowest rotation, over 2π
const GATE_INPUTS: usize = 48; // channels that decide how much value embedding to add
const SOFTCAP: f32 = 8.4; // logits stay within ± this

// Data.
const BATCH: usize = 18; // sequences per step
const SEQ: usize = 192; // tokens per sequence

// Optimizers.
const MATRIX_LR: f32 = 0.024; // Muon
const MOMENTUM: f32 = 0.937; // Muon
const NEWTON_STEPS: usize = 10; // Muon
const EMBED_LR: f32 = 0.046; // AdamW: token and value embeddings
const HEAD_LR: f32 = 0.0079; // AdamW: output matrix
const SCALAR_LR: f32 = 0.014; // AdamW: residual scalars
const BETA1: f32 = 0.73; // AdamW
const BETA2: f32 = 0.94; // AdamW
const WEIGHT_DECAY: f32 = 0.099; // of matrices
const WARMDOWN: f32 = 0.53; // share of the budget over which rates fall
const FINAL_LR: f32 = 0.016; // what they fall to

/// Tokens [batch, time] to logits [batch, time, vocab].
fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let mut x = net.embed("wte", tokens).rms_norm();
    let x0 = x.clone();
    for layer in 0..DEPTH {
        x = x * net.weight(("resid", layer)) + &x0 * net.weight(("x0", layer));
        x = &x + attention(net, layer, &x.rms_norm(), tokens);
        x = &x + mlp(net, layer, &x.rms_norm());
    }
    x.rms_norm().linear(&net.weight("head")).softcap(SOFTCAP)
}

/// Causal attention with normalised queries and keys.
fn attention(net: &Net, layer: usize, x: &Tensor, tokens: &Tensor) -> Tensor {
    let q = x
        .linear(&net.weight(("q", layer)))
        .heads(HEAD_DIM)
        .rope(ROPE_BASE)
        .rms_norm();
    let k = x
        .linear(&net.weight(("k", layer)))
        .heads(HEAD_DIM)
        .rope(ROPE_BASE)
        .rms_norm();
    let mut v = x.linear(&net.weight(("v", layer))).heads(HEAD_DIM);
    if has_value_embedding(layer) {
        v = v + value_embedding(net, layer, x, tokens);
    }
    q.attention(&k, &v, window(layer))
        .merge_heads()
        .linear(&net.weight(("o", layer)))
}

/// What each token adds to its values, as far as each head's gate (0 to 2, by the input) lets it.
fn value_embedding(net: &Net, layer: usize, x: &Tensor, tokens: &Tensor) -> Tensor {
    let values = net.embed(("ve", layer), tokens).heads(HEAD_DIM);
    let inputs = x.narrow(2, 0, GATE_INPUTS);
    let gates = 2.0 * inputs.linear(&net.weight(("gate", layer))).sigmoid();
    values * gates.heads(1)
}

fn mlp(net: &Net, layer: usize, x: &Tensor) -> Tensor {
    let hidden = x.linear(&net.weight(("fc", layer))).relu_squared();
    hidden.linear(&net.weight(("proj", layer)))
}

/// Every other layer, and the last.
fn has_value_embedding(layer: usize) -> bool {
    layer % 2 == (DEPTH - 1) % 2
}

fn window(layer: usize) -> usize {
    if layer + 1 == DEPTH {
        0
    } else {
        WINDOWS[layer % WINDOWS.len()]
    }
}

/// Learning rates over the budget: flat, then falling linearly to FINAL_LR.
fn schedule(progress: f32) -> f32 {
    let left = ((1.0 - progress) / WARMDOWN).clamp(0.0, 1.0);
    FINAL_LR + (1.0 - FINAL_LR) * left
}

/// Declares the parameters. Every branch starts as zero, so that the first signal is the embedding itself.
fn init(task: &Task) -> Net {
    let heads = ((WIDTH / HEAD_DIM) as f32 * task.scale).round().max(1.0) as usize;
    let width = heads * HEAD_DIM;
    let hidden = EXPANSION * width;
    let bound = (3.0 / width as f32).sqrt(); // uniform within ± this: variance 1/width
    let random = |rows| Tensor::uniform([rows, width], -bound, bound);

    let mut net = Net::new();
    net.parameter(
        "embeddings",
        "wte",
        Tensor::normal([task.vocab, width], 0.0, 1.0),
    );
    net.parameter(
        "head",
        "head",
        Tensor::normal([task.vocab, width], 0.0, 0.001),
    );
    for layer in 0..DEPTH {
        net.parameter("scalars", ("resid", layer), Tensor::full([1], 1.0));
        net.parameter("scalars", ("x0", layer), Tensor::full([1], 0.1));
        net.parameter("matrices", ("q", layer), random(width));
        net.parameter("matrices", ("k", layer), random(width));
        net.parameter("matrices", ("v", layer), random(width));
        net.parameter("matrices", ("o", layer), Tensor::zeros([width, width]));
        net.parameter("matrices", ("fc", layer), random(hidden));
        net.parameter("matrices", ("proj", layer), Tensor::zeros([width, hidden]));
        if has_value_embedding(layer) {
            net.parameter("embeddings", ("ve", layer), random(task.vocab));
            net.parameter(
                "matrices",
                ("gate", layer),
                Tensor::zeros([heads, GATE_INPUTS]),
            );
        }
    }
    net
}

fn train(lab: &mut Lab) {
    let net = init(&lab.task());
    let mut muon = Muon::new(net.group("matrices"), MOMENTUM, NEWTON_STEPS, WEIGHT_DECAY);
    let mut adam = AdamW::new(BETA1, BETA2, 0.0)
        .group(net.group("embeddings"), EMBED_LR)
        .group(net.group("head"), HEAD_LR)
        .group(net.group("scalars"), SCALAR_LR);
    while let Some(batch) = lab.next_batch(BATCH, SEQ) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        let grads = loss.backward();
        let lr = schedule(lab.progress());
        muon.step(&grads, MATRIX_LR * lr);
        adam.step(&grads, lr);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
