//! The yardstick's model: RMSNorm, RoPE, QK-norm, causal attention, ReLU², an output matrix of its own, softcap,
//! cross-entropy, AdamW. The same as `tests/guests/gpt.rs`, driven natively.

use super::inputs::Layout;
use super::lab::{Lab, Tensor};
use kernels::fault::Fault;
use kernels::op::AdamW;

/// Added to mean squares, as the guest's library does.
const EPS: f32 = 1e-6;
const ROPE_BASE: f32 = 10_000.0;
const SOFTCAP: f32 = 15.0;

/// Sizes of one model.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Its name.
    pub name: &'static str,
    /// Different tokens.
    pub vocab: u32,
    /// Layers.
    pub depth: u32,
    /// Model width.
    pub width: u32,
    /// Attention heads.
    pub heads: u32,
    /// Tokens per sequence.
    pub seq: u32,
    /// Sequences per step.
    pub batch: u32,
}

/// The sizes that are measured, 2048 tokens a step; and one small enough for a test.
pub const SIZES: [Sizes; 4] = [
    Sizes { name: "tiny", vocab: 16, depth: 2, width: 16, heads: 2, seq: 16, batch: 2 },
    Sizes { name: "S", vocab: 256, depth: 4, width: 128, heads: 4, seq: 128, batch: 16 },
    Sizes { name: "M", vocab: 256, depth: 6, width: 256, heads: 4, seq: 256, batch: 8 },
    Sizes { name: "L", vocab: 8192, depth: 4, width: 256, heads: 4, seq: 256, batch: 8 },
];

impl Sizes {
    /// Tokens of a step.
    pub fn tokens(&self) -> u64 {
        u64::from(self.batch) * u64::from(self.seq)
    }

    /// What the model takes.
    pub fn layout(&self) -> Layout {
        let parameters = self.parameters().into_iter().map(|(name, shape)| (name, shape.to_vec())).collect();
        let Sizes { name, vocab, batch, seq, width, heads, .. } = *self;
        Layout { name: name.to_owned(), vocab, batch, seq, head_dim: width / heads, parameters }
    }

    /// Names and shapes of the parameters, in the order of the weights' file.
    pub fn parameters(&self) -> Vec<(String, [u32; 2])> {
        let (vocab, width) = (self.vocab, self.width);
        let mut all = vec![("wte".to_owned(), [vocab, width])];
        for layer in 0..self.depth {
            for part in ["q", "k", "v", "o"] {
                all.push((format!("{part}.{layer}"), [width, width]));
            }
            all.push((format!("fc.{layer}"), [4 * width, width]));
            all.push((format!("proj.{layer}"), [width, 4 * width]));
        }
        all.push(("head".to_owned(), [vocab, width]));
        all
    }
}

/// One parameter and its moments.
struct Weight {
    name: String,
    weight: Tensor,
    first: Tensor,
    second: Tensor,
}

/// The model and its optimizer.
pub struct Gpt {
    sizes: Sizes,
    lab: Lab,
    weights: Vec<Weight>,
    steps: u32,
}

/// How far a step went when something else wants to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Loss computed.
    Forward,
    /// Gradients computed.
    Backward,
}

impl Gpt {
    /// Declares the parameters.
    pub fn new(lab: &Lab, sizes: Sizes) -> Result<Self, Fault> {
        let bound = (3.0 / sizes.width as f32).sqrt();
        let mut declared = Vec::new();
        for (name, shape) in sizes.parameters() {
            let init = match name.split('.').next() {
                Some("wte") => lab.normal(&shape, 1.0)?,
                Some("head") => lab.normal(&shape, 0.001)?,
                Some("o" | "proj") => lab.zeros(&shape)?,
                _ => lab.uniform(&shape, bound)?,
            };
            declared.push((name.clone(), lab.parameter(&name, init)?, shape));
        }
        let mut weights = Vec::new();
        for (name, weight, shape) in declared {
            let zeros = lab.zeros(&shape)?;
            weights.push(Weight { name, weight, first: zeros.variable()?, second: zeros.variable()? });
        }
        Ok(Self { sizes, lab: lab.clone(), weights, steps: 0 })
    }

    fn weight(&self, name: &str) -> Result<&Tensor, Fault> {
        let found = self.weights.iter().find(|w| w.name == name);
        found.map(|w| &w.weight).ok_or_else(|| Fault::Executor(format!("no parameter {name}")))
    }

    /// The loss of one batch.
    pub fn loss(&self, tokens: &Tensor, targets: &Tensor) -> Result<Tensor, Fault> {
        let mut x = self.weight("wte")?.embedding(tokens)?.rms_norm(EPS)?;
        for layer in 0..self.sizes.depth {
            x = x.add(&self.attention(layer, &x.rms_norm(EPS)?)?)?;
            x = x.add(&self.mlp(layer, &x.rms_norm(EPS)?)?)?;
        }
        x.rms_norm(EPS)?.linear_cross_entropy(self.weight("head")?, targets, SOFTCAP)
    }

    fn attention(&self, layer: u32, x: &Tensor) -> Result<Tensor, Fault> {
        let Sizes { batch, seq, heads, width, .. } = self.sizes;
        let split = [batch, seq, heads, width / heads];
        let part = |name: &str| x.linear(self.weight(&format!("{name}.{layer}"))?)?.reshape(&split);
        let q = part("q")?.rope(ROPE_BASE)?.rms_norm(EPS)?;
        let k = part("k")?.rope(ROPE_BASE)?.rms_norm(EPS)?;
        let v = part("v")?;
        let y = q.attention(&k, &v, 1.0 / ((width / heads) as f32).sqrt())?;
        y.reshape(&[batch, seq, width])?.linear(self.weight(&format!("o.{layer}"))?)
    }

    fn mlp(&self, layer: u32, x: &Tensor) -> Result<Tensor, Fault> {
        let hidden = x.linear(self.weight(&format!("fc.{layer}"))?)?.relu_squared()?;
        hidden.linear(self.weight(&format!("proj.{layer}"))?)
    }

    /// Gradients of `loss`, in the order of the parameters.
    pub fn gradients(&self, loss: &Tensor) -> Result<Vec<Tensor>, Fault> {
        loss.gradients(&self.weights.iter().map(|w| &w.weight).collect::<Vec<_>>())
    }

    /// Gradients of the first batch's loss, in the order of the weights' file.
    pub fn first_gradients(&self) -> Result<Vec<f32>, Fault> {
        let (layout, mut all) = (self.sizes.layout(), Vec::new());
        if let Some([tokens, targets]) = self.lab.next_batch(self.sizes.batch, self.sizes.seq)? {
            let gradients = self.gradients(&self.loss(&tokens, &targets)?)?;
            for (w, gradient) in self.weights.iter().zip(&gradients) {
                let mut values = self.lab.peek(gradient)?;
                layout.turn(&w.name, &mut values);
                all.append(&mut values);
            }
        }
        Ok(all)
    }

    /// One training step; `at` is called between its parts.
    pub fn step(&mut self, at: &mut dyn FnMut(Part) -> Result<(), Fault>) -> Result<(), Fault> {
        let Some([tokens, targets]) = self.lab.next_batch(self.sizes.batch, self.sizes.seq)? else {
            return Err(Fault::Executor("the budget ended".to_owned()));
        };
        let loss = self.loss(&tokens, &targets)?;
        at(Part::Forward)?;
        let gradients = self.gradients(&loss)?;
        at(Part::Backward)?;
        self.steps += 1;
        let how = AdamW { lr: 1e-3, beta1: 0.8, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, step: self.steps };
        for (w, grad) in self.weights.iter().zip(&gradients) {
            w.weight.adamw(grad, &w.first, &w.second, how)?;
        }
        self.lab.log(&loss)
    }
}
