//! A small GPT trained with Muon and AdamW: the guest that every night starts from. Any part may change; the host
//! judges by bits per byte on text that training never sees.
//!
//! The recipe follows autoresearch and modded-nanoGPT at a smaller scale: RMSNorm, rotary positions, normalised queries
//! and keys, ReLU², value embeddings, a shortcut from the embedding to every layer, sliding windows, capped logits.
use guest_sdk::prelude::*;

// Model.
const DEPTH: usize = 2; // layers
const WIDTH: usize = 96; // channels at scale 1; grows with the scale
const HEAD_DIM: usize = 32; // channels of one attention head
const EXPANSION: usize = 2; // hidden channels of the MLP per channel of the model
const WINDOWS: &[usize] = &[16, 0]; // attention window by layer, in turn; 0 and the last layer see everything
const ROPE_BASE: f32 = 1400.0; // the slowest rotation turns once in about 2π times this many tokens
const GATE_INPUTS: usize = 48; // channels that decide how much value embedding to add
const SOFTCAP: f32 = 8.4; // logits stay within ± this

// Data.
const BATCH: usize = 36; // sequences per step
const SEQ: usize = 96; // tokens per sequence

// Optimizers.
const MATRIX_LR: f32 = 0.024; // Muon: learning rate
const MOMENTUM: f32 = 0.937; // Muon: share of the old velocity
const NEWTON_STEPS: usize = 10; // Muon: steps of the orthogonalisation
const EMBED_LR: f32 = 0.046; // AdamW: token and value embeddings
const HEAD_LR: f32 = 0.0079; // AdamW: output matrix
const SCALAR_LR: f32 = 0.014; // AdamW: weights of residual and shortcut
const BETA1: f32 = 0.59; // AdamW: decay of the first moment
const BETA2: f32 = 0.94; // AdamW: decay of the second moment
const WEIGHT_DECAY: f32 = 0.099; // of matrices
const WARMDOWN: f32 = 0.53; // share of the budget over which learning rates fall, at its end
const FINAL_LR: f32 = 0.016; // the fraction of a learning rate that is left at the end
const BIGRAM_ROWS: usize = 8192; // rows of the table of hashed 2-grams
const TRIGRAM_ROWS: usize = 12_288; // rows of the table of hashed 3-grams
const FOURGRAM_ROWS: usize = 40_960; // rows of the table of hashed 4-grams
const NGRAM_SHARE: f32 = 0.5; // first share of the n-grams in the stream before a layer
const SMEAR_INPUTS: usize = 12; // channels that decide how much of the token before is added
const SMEAR_SHARE: f32 = 0.3; // first weight of the token before
const ROW_MEMORY: f32 = 0.95; // Muon: decay of the mean square of an update's rows
const MOMENTUM_RISE: f32 = 0.1; // Muon: how much the momentum rises at first
const MOMENTUM_WARMUP: f32 = 0.2; // Muon: share of the budget over which it rises
const FIVEGRAM_ROWS: usize = 65_536; // rows of the table of hashed 5-grams

/// The whole network: tokens [batch, time] to logits [batch, time, vocab].
fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let mut x = smeared(net, (net.embed("wte", tokens) + ngram(net, 5, tokens))).rms_norm();
    let x0 = x.clone();
    let ngrams = ngram(net, 2, tokens) + ngram(net, 3, tokens) + ngram(net, 4, tokens);
    for layer in 0..DEPTH {
        x = &x + &ngrams * net.weight(("ngram_share", layer));
        x = x * net.weight(("resid", layer)) + &x0 * net.weight(("x0", layer));
        x = &x + attention(net, layer, &x.rms_norm(), tokens);
        x = &x + mlp(net, layer, &x.rms_norm());
    }
    x.rms_norm().linear(&net.weight("head")).softcap(SOFTCAP)
}

/// Causal attention. Queries and keys are rotated by position, then normalised.
fn attention(net: &Net, layer: usize, x: &Tensor, tokens: &Tensor) -> Tensor {
    let q = x.linear(&net.weight(("q", layer))).heads(HEAD_DIM).rope(ROPE_BASE).rms_norm();
    let k = x.linear(&net.weight(("k", layer))).heads(HEAD_DIM).rope(ROPE_BASE).rms_norm();
    let mut v = x.linear(&net.weight(("v", layer))).heads(HEAD_DIM);
    if has_value_embedding(layer) {
        v = v + value_embedding(net, layer, x, tokens);
    }
    q.attention(&k, &v, window(layer)).merge_heads().linear(&net.weight(("o", layer)))
}

/// A vector for each token, looked up in a table of its own and added to the values of attention. Each head scales it
/// by a gate between 0 and 2, which some channels of the input decide.
fn value_embedding(net: &Net, layer: usize, x: &Tensor, tokens: &Tensor) -> Tensor {
    let values = net.embed(("ve", layer), tokens).heads(HEAD_DIM);
    let inputs = x.narrow(2, 0, GATE_INPUTS);
    let gates = 2.0 * inputs.linear(&net.weight(("gate", layer))).sigmoid();
    values * gates.heads(1)
}

/// Two matrices with ReLU² between them.
fn mlp(net: &Net, layer: usize, x: &Tensor) -> Tensor {
    let hidden = x.linear(&net.weight(("fc", layer))).relu_squared();
    hidden.linear(&net.weight(("proj", layer)))
}

/// The last layer has one, and every second layer before it.
fn has_value_embedding(layer: usize) -> bool {
    let _ = layer;
    false
}

/// How many tokens a layer attends to, the present one included; 0 means all.
fn window(layer: usize) -> usize {
    if layer + 1 == DEPTH { 0 } else { WINDOWS[layer % WINDOWS.len()] }
}

/// Factor of all learning rates: 1, then falling linearly to FINAL_LR over the last part of the budget.
fn schedule(progress: f32) -> f32 {
    let left = ((1.0 - progress) / WARMDOWN).clamp(0.0, 1.0);
    FINAL_LR + (1.0 - FINAL_LR) * left
}

/// Declares the parameters. Attention and MLP start by adding nothing, since their last matrices are zero: the first
/// signal is the embedding itself.
fn init(task: &Task) -> Net {
    let heads = ((WIDTH / HEAD_DIM) as f32 * task.scale).round().max(1.0) as usize;
    let width = heads * HEAD_DIM;
    let hidden = EXPANSION * width;
    let bound = (3.0 / width as f32).sqrt(); // uniform within ± bound has the variance 1/width
    let random = |rows| Tensor::uniform([rows, width], -bound, bound);

    let mut net = Net::new();
    net.parameter("embeddings", "wte", Tensor::normal([task.vocab, width], 0.0, 1.0));
    net.parameter("embeddings", ("ngram", 5), Tensor::zeros([FIVEGRAM_ROWS, net.weight("wte").size(1)]));
    net.parameter("embeddings", "smear_gate", Tensor::zeros([1, SMEAR_INPUTS.min(net.weight("wte").size(1))]));
    net.parameter("scalars", "smear_share", Tensor::full([1], SMEAR_SHARE));
    net.parameter("embeddings", ("ngram", 2), Tensor::zeros([BIGRAM_ROWS, net.weight("wte").size(1)]));
    net.parameter("embeddings", ("ngram", 3), Tensor::zeros([TRIGRAM_ROWS, net.weight("wte").size(1)]));
    net.parameter("embeddings", ("ngram", 4), Tensor::zeros([FOURGRAM_ROWS, net.weight("wte").size(1)]));
    net.parameter("head", "head", Tensor::normal([task.vocab, width], 0.0, 0.001));
    for layer in 0..DEPTH {
        net.parameter("scalars", ("resid", layer), Tensor::full([1], 1.0));
        net.parameter("scalars", ("ngram_share", layer), Tensor::full([1], NGRAM_SHARE));
        net.parameter("scalars", ("x0", layer), Tensor::full([1], 0.1));
        net.parameter("matrices", ("q", layer), random(width));
        net.parameter("matrices", ("k", layer), random(width));
        net.parameter("matrices", ("v", layer), random(width));
        net.parameter("matrices", ("o", layer), Tensor::zeros([width, width]));
        net.parameter("matrices", ("fc", layer), random(hidden));
        net.parameter("matrices", ("proj", layer), Tensor::zeros([width, hidden]));
        if has_value_embedding(layer) {
            net.parameter("embeddings", ("ve", layer), random(task.vocab));
            net.parameter("matrices", ("gate", layer), Tensor::zeros([heads, GATE_INPUTS]));
        }
    }
    net
}

/// Draws batches until the budget is used up, and takes a step on each.
fn train(lab: &mut Lab) {
    let net = init(&lab.task());
    let mut muon = Muon::new(net.group("matrices"), MOMENTUM, NEWTON_STEPS, WEIGHT_DECAY).equal_rows().cautious().normalize_rows(ROW_MEMORY).orthogonalize_by(&POLAR_EXPRESS);
    let mut adam = AdamW::new(BETA1, BETA2, 0.0)
        .group(net.group("embeddings"), EMBED_LR)
        .group(net.group("head"), HEAD_LR)
        .group(net.group("scalars"), SCALAR_LR);
    while let Some(batch) = lab.next_batch(BATCH, SEQ) {
        let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
        let grads = loss.backward();
        let lr = schedule(lab.progress());
        muon.set_momentum(MOMENTUM - MOMENTUM_RISE * (1.0 - lab.progress() / MOMENTUM_WARMUP).max(0.0));
        muon.set_weight_decay(WEIGHT_DECAY * 0.5 * (1.0 + (core::f32::consts::PI * lab.progress()).cos()));
        muon.step(&grads, MATRIX_LR * lr);
        adam.step(&grads, lr);
        lab.log("loss", &loss);
    }
}

/// Rows of the table for `order` tokens in a row: a hash of the last ones finds them.
fn ngram(net: &Net, order: usize, tokens: &Tensor) -> Tensor {
    let (table, time) = (net.weight(("ngram", order)), tokens.size(1));
    let mut hash = tokens.clone();
    for back in 1..order {
        hash = (hash * 0x9e37_79b1_u32) ^ tokens.pad(1, back, 0).narrow(1, 0, time);
    }
    hash = hash * 0x9e37_79b1_u32;
    hash = &hash ^ (&hash >> 15_u32);
    table.embedding(&(hash % table.size(0) as u32))
}

/// Adds to each position's embedding a share of the one before, as a gate decides.
fn smeared(net: &Net, x: Tensor) -> Tensor {
    let before = x.pad(1, 1, 0).narrow(1, 0, x.size(1));
    let weight = net.weight("smear_gate");
    let gate = x.narrow(2, 0, weight.size(1)).linear(&weight).sigmoid() * net.weight("smear_share");
    x + before * gate
}

guest!(train, model);
