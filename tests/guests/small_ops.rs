//! The yardstick's model with attention, norms, rotations and loss composed from small operations: what a guest costs
//! that wants its own variant of each.
use guest_sdk::prelude::*;

const DEPTH: usize = 4; // layers
const WIDTH: usize = 128; // model width
const HEADS: usize = 4; // attention heads
const BATCH: usize = 16; // sequences per step
const SEQ: usize = 128; // tokens per sequence
const ROPE_BASE: f32 = 10000.0;
const SOFTCAP: f32 = 15.0; // logits stay within ± this
const LR: f32 = 0.001;
const HIDDEN: f32 = -1e9; // added to the scores of what a position must not see

/// Tables that depend on the length of the sequence alone.
struct Tables {
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
}

fn tables(time: usize) -> Tables {
    let half = WIDTH / HEADS / 2;
    let angle = |i: usize| {
        let frequency = ROPE_BASE.powf(-((i % half) as f32) / half as f32);
        (i / half) as f32 * frequency
    };
    let table = |f: fn(f32) -> f32| {
        let values: Vec<f32> = (0..time * half).map(|i| f(angle(i))).collect();
        Tensor::from_f32([time, 1, half], &values)
    };
    let hidden = |i: usize| if i % time > i / time { HIDDEN } else { 0.0 };
    let mask: Vec<f32> = (0..time * time).map(hidden).collect();
    Tables {
        cos: table(f32::cos),
        sin: table(f32::sin),
        mask: Tensor::from_f32([time, time], &mask),
    }
}

fn norm(x: &Tensor) -> Tensor {
    let last = x.shape().len() - 1;
    x * (x.square().mean_over([last]) + 1e-6).rsqrt()
}

fn rotate(x: &Tensor, tables: &Tables) -> Tensor {
    let half = WIDTH / HEADS / 2;
    let (a, b) = (x.narrow(3, 0, half), x.narrow(3, half, half));
    let left = &a * &tables.cos - &b * &tables.sin;
    let right = &a * &tables.sin + &b * &tables.cos;
    Tensor::cat(&[&left, &right], 3)
}

fn attention(net: &Net, layer: usize, x: &Tensor, tables: &Tables) -> Tensor {
    let dim = WIDTH / HEADS;
    let heads = |name| x.linear(&net.weight((name, layer))).heads(dim);
    let q = norm(&rotate(&heads("q"), tables)).permute([0, 2, 1, 3]);
    let k = norm(&rotate(&heads("k"), tables)).permute([0, 2, 3, 1]);
    let v = heads("v").permute([0, 2, 1, 3]);
    let scores = q.matmul(&k) * (1.0 / (dim as f32).sqrt()) + &tables.mask;
    let weights = scores.exp();
    let seen = weights.sum_over([3]);
    let y = (weights / seen).matmul(&v);
    y.permute([0, 2, 1, 3])
        .merge_heads()
        .linear(&net.weight(("o", layer)))
}

fn mlp(net: &Net, layer: usize, x: &Tensor) -> Tensor {
    let hidden = x.linear(&net.weight(("fc", layer))).relu().square();
    hidden.linear(&net.weight(("proj", layer)))
}

fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let tables = tables(tokens.size(1));
    let mut x = norm(&net.embed("wte", tokens));
    for layer in 0..DEPTH {
        x = &x + attention(net, layer, &norm(&x), &tables);
        x = &x + mlp(net, layer, &norm(&x));
    }
    let logits = norm(&x).linear(&net.weight("head"));
    (logits / SOFTCAP).tanh() * SOFTCAP
}

/// Capped logits need no maximum taken off before the exponential.
fn loss_of(logits: &Tensor, targets: &Tensor) -> Tensor {
    let all = logits.exp().sum_over([2]).log();
    let chosen = logits.gather(2, &targets.reshape(all.shape()));
    (all - chosen).mean()
}

fn init(task: &Task) -> Net {
    let bound = (3.0 / WIDTH as f32).sqrt(); // uniform within ± this: variance 1/width
    let table = |std| Tensor::normal([task.vocab, WIDTH], 0.0, std);
    let mut net = Net::new();
    net.parameter("all", "wte", table(1.0));
    for layer in 0..DEPTH {
        for part in ["q", "k", "v"] {
            let random = Tensor::uniform([WIDTH, WIDTH], -bound, bound);
            net.parameter("all", (part, layer), random);
        }
        net.parameter("all", ("o", layer), Tensor::zeros([WIDTH, WIDTH]));
        let random = Tensor::uniform([4 * WIDTH, WIDTH], -bound, bound);
        net.parameter("all", ("fc", layer), random);
        net.parameter("all", ("proj", layer), Tensor::zeros([WIDTH, 4 * WIDTH]));
    }
    net.parameter("all", "head", table(0.001));
    net
}

fn train(lab: &mut Lab) {
    let net = init(&lab.task());
    let mut adam = AdamW::new(0.8, 0.95, 0.0).group(net.group("all"), LR);
    while let Some(batch) = lab.next_batch(BATCH, SEQ) {
        let loss = loss_of(&model(&net, &batch.tokens), &batch.targets);
        adam.step(&loss.backward(), 1.0);
        lab.log("loss", &loss);
    }
}

guest!(train, model);
