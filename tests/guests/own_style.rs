//! A champion as a person wrote it: a struct that holds the net, everything of a layer in one place, closures, literals
//! where others have constants, a loop that breaks.
use guest_sdk::prelude::*;

const LAYERS: usize = 3;
const DIM: usize = 64;
const PER_HEAD: usize = 16;
const MLP_RATIO: usize = 3;
const LR: f32 = 0.02;
const ADAM_LR: f32 = 0.01;

struct Transformer<'a> {
    params: &'a Net,
}

impl Transformer<'_> {
    fn forward(&self, ids: &Tensor) -> Tensor {
        let table = self.params.weight("tok");
        let mut h = table.embedding(ids);
        for i in 0..LAYERS {
            let normed = h.rms_norm();
            let project = |name: &str| normed.linear(&self.params.weight((name, i))).heads(PER_HEAD);
            let query = normed.linear(&self.params.weight(("query", i))).heads(PER_HEAD);
            let (queries, keys) = (query.rope(10_000.0).rms_norm(), project("key").rope(10_000.0).rms_norm());
            let mixed = queries.attention(&keys, &project("value"), 0);
            h = &h + mixed.merge_heads().linear(&self.params.weight(("out", i)));
            let inner = h.rms_norm();
            let up = inner.linear(&self.params.weight(("up", i))).gelu();
            h = &h + up.linear(&self.params.weight(("down", i)));
        }
        h.rms_norm().linear(&self.params.weight("unembed"))
    }
}

fn logits(params: &Net, ids: &Tensor) -> Tensor {
    Transformer { params }.forward(ids)
}

fn declare(vocab: usize) -> Net {
    let mut params = Net::new();
    params.parameter("vectors", "tok", Tensor::normal([vocab, DIM], 0.0, 0.7));
    params.parameter("vectors", "unembed", Tensor::zeros([vocab, DIM]));
    let spread = 0.6 / (DIM as f32).sqrt();
    for i in 0..LAYERS {
        for name in ["query", "key", "value"] {
            params.parameter("weights", (name, i), Tensor::normal([DIM, DIM], 0.0, spread));
        }
        params.parameter("weights", ("out", i), Tensor::zeros([DIM, DIM]));
        params.parameter("weights", ("up", i), Tensor::normal([MLP_RATIO * DIM, DIM], 0.0, spread));
        params.parameter("weights", ("down", i), Tensor::zeros([DIM, MLP_RATIO * DIM]));
    }
    params
}

fn fall(done: f32) -> f32 {
    if done < 0.4 { 1.0 } else { (1.0 - done) / 0.6 }
}

fn learn(run: &mut Lab) {
    let params = declare(run.task().vocab);
    let mut matrices = Muon::new(params.group("weights"), 0.95, 5, 0.05);
    let mut rest = AdamW::new(0.9, 0.95, 0.0).group(params.group("vectors"), ADAM_LR);
    loop {
        let Some(Batch { tokens, targets }) = run.next_batch(12, 96) else { break };
        let nats = logits(&params, &tokens).cross_entropy(&targets);
        let grads = nats.backward();
        let factor = fall(run.progress());
        matrices.step(&grads, LR * factor);
        rest.step(&grads, factor);
        run.log("loss", &nats);
    }
}

guest!(learn, logits);
