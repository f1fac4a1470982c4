//! A short training run of a small GPT: Muon for matrices, AdamW for the rest, some millions of multiply-adds.

use crate::programs::VOCAB;
use kernels::fault::Fault;
use kernels::op::{AdamW, Attention, Binary, Loss, Op, TensorId, Unary};
use kernels::session::Session;
use kernels::spec::{Shape, Spec, Values};

const STEPS: u32 = 6;
const BATCH: u32 = 3;
const TIME: u32 = 37;
const WIDTH: u32 = 36;
const HEADS: u32 = 2;
const LAYERS: u32 = 2;
const EPS: f32 = 1e-5;

/// A parameter and what its optimizer keeps.
struct Weight {
    x: TensorId,
    first: TensorId,
    /// Absent if Muon trains it.
    second: Option<TensorId>,
}

/// Trains; gives final weights and losses.
pub fn run(session: Session) -> Result<Vec<(Spec, Values)>, Fault> {
    let mut session = train(session)?;
    let named = session.named_state()?;
    let mut results: Vec<_> = named.tensors.into_iter().map(|(_, _, spec, values)| (spec, values)).collect();
    let losses: Vec<f32> = session.curve().iter().map(|point| point.value as f32).collect();
    results.push((Spec::f32(shape(&[STEPS])), Values::F32(losses)));
    Ok(results)
}

/// Trains in the session, to the end of its last interval.
pub fn train(session: Session) -> Result<Session, Fault> {
    let mut model = Model { session, weights: Vec::new(), temporary: Vec::new() };
    model.train()?;
    Ok(model.session)
}

struct Model {
    session: Session,
    weights: Vec<Weight>,
    /// Tensors of the present step.
    temporary: Vec<TensorId>,
}

impl Model {
    fn train(&mut self) -> Result<(), Fault> {
        self.declare()?;
        for step in 1..=STEPS {
            let Some((tokens, targets)) = self.session.next_batch(BATCH, TIME)? else { break };
            self.temporary.extend([tokens, targets]);
            let loss = self.forward(tokens, targets)?;
            self.session.log("loss", loss)?;
            let wanted: Vec<TensorId> = self.weights.iter().map(|weight| weight.x).collect();
            let gradients = self.session.backward(loss, &wanted)?;
            self.temporary.extend(&gradients);
            self.update(step, &gradients)?;
            for id in self.temporary.drain(..) {
                self.session.release(id);
            }
        }
        self.session.finish()
    }

    /// Embedding, head, and for each layer four matrices and a gate.
    fn declare(&mut self) -> Result<(), Fault> {
        self.weight("embedding", [VOCAB, WIDTH], 0.5, false)?;
        self.weight("head", [VOCAB, WIDTH], 0.02, false)?;
        for layer in 0..LAYERS {
            self.weight(&format!("qkv{layer}"), [3 * WIDTH, WIDTH], 0.1, true)?;
            self.weight(&format!("out{layer}"), [WIDTH, WIDTH], 0.1, true)?;
            self.weight(&format!("up{layer}"), [4 * WIDTH, WIDTH], 0.1, true)?;
            self.weight(&format!("down{layer}"), [WIDTH, 4 * WIDTH], 0.1, true)?;
            self.weight(&format!("gate{layer}"), [1, WIDTH], 0.5, false)?;
        }
        Ok(())
    }

    fn weight(&mut self, name: &str, dims: [u32; 2], std: f32, muon: bool) -> Result<(), Fault> {
        let shape = shape(&dims);
        let stream = self.weights.len() as u32;
        let value =
            self.session.submit(Op::Normal { shape: shape.clone(), mean: 0.0, std, stream, position: 0 }, &[])?;
        let zero = self.session.submit(Op::Full { shape, value: 0.0 }, &[])?;
        let x = self.session.parameter(name, value)?;
        let first = self.session.variable(zero)?;
        let second = if muon { None } else { Some(self.session.variable(zero)?) };
        self.session.release(value);
        self.session.release(zero);
        self.weights.push(Weight { x, first, second });
        Ok(())
    }

    fn submit(&mut self, op: Op, inputs: &[TensorId]) -> Result<TensorId, Fault> {
        let id = self.session.submit(op, inputs)?;
        self.temporary.push(id);
        Ok(id)
    }

    /// x·wᵀ
    fn linear(&mut self, x: TensorId, weight: usize) -> Result<TensorId, Fault> {
        let w = self.weights[weight].x;
        self.submit(Op::MatMul { transpose_a: false, transpose_b: true }, &[x, w])
    }

    fn norm(&mut self, x: TensorId) -> Result<TensorId, Fault> {
        self.submit(Op::RmsNorm { eps: EPS }, &[x])
    }

    fn forward(&mut self, tokens: TensorId, targets: TensorId) -> Result<TensorId, Fault> {
        let table = self.weights[0].x;
        let embedded = self.submit(Op::Embedding, &[table, tokens])?;
        let mut x = self.norm(embedded)?;
        for layer in 0..LAYERS as usize {
            x = self.block(x, 2 + 5 * layer)?;
        }
        let x = self.norm(x)?;
        let logits = self.linear(x, 1)?;
        self.submit(Op::CrossEntropy(Loss { softcap: 15.0, z_loss: 0.0 }), &[logits, targets])
    }

    /// Attention, then a perceptron with ReLU², both added to a gated residual stream.
    fn block(&mut self, x: TensorId, weights: usize) -> Result<TensorId, Fault> {
        let normed = self.norm(x)?;
        let qkv = self.linear(normed, weights)?;
        let heads = Op::Reshape { shape: shape(&[BATCH, TIME, 3 * HEADS, WIDTH / HEADS]) };
        let qkv = self.submit(heads, &[qkv])?;
        let mut parts = [qkv; 3];
        for (part, start) in parts.iter_mut().zip([0, HEADS, 2 * HEADS]) {
            *part = self.submit(Op::Narrow { axis: 2, start, len: HEADS }, &[qkv])?;
        }
        let [q, k, v] = parts;
        let (q, k) = (self.turned(q)?, self.turned(k)?);
        let seen = self.submit(Op::Attention(Attention { causal: true, window: 20, scale: 0.24 }), &[q, k, v])?;
        let seen = self.submit(Op::Reshape { shape: shape(&[BATCH, TIME, WIDTH]) }, &[seen])?;
        let seen = self.linear(seen, weights + 1)?;
        let gate = self.weights[weights + 4].x;
        let gated = self.submit(Op::Binary(Binary::Mul), &[x, gate])?;
        let x = self.submit(Op::Binary(Binary::Add), &[gated, seen])?;

        let normed = self.norm(x)?;
        let up = self.linear(normed, weights + 2)?;
        let active = self.submit(Op::Unary(Unary::ReluSquared), &[up])?;
        let down = self.linear(active, weights + 3)?;
        self.submit(Op::Binary(Binary::Add), &[x, down])
    }

    /// Normed queries or keys with their positions.
    fn turned(&mut self, x: TensorId) -> Result<TensorId, Fault> {
        let normed = self.norm(x)?;
        self.submit(Op::Rope { base: 10_000.0, inverse: false }, &[normed])
    }

    fn update(&mut self, step: u32, gradients: &[TensorId]) -> Result<(), Fault> {
        for (place, &gradient) in gradients.iter().enumerate() {
            let Weight { x, first, second } = self.weights[place];
            match second {
                Some(second) => {
                    let how = AdamW { lr: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.01, step };
                    self.session.adamw(x, gradient, first, second, how)?;
                }
                None => {
                    self.session.blend(first, 0.95, gradient, 1.0)?;
                    let direction =
                        self.submit(Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 5] }, &[first])?;
                    self.session.blend(x, 0.999, direction, -0.02)?;
                }
            }
        }
        Ok(())
    }
}

/// The shape of sizes that are fixed here, all in bounds.
fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims).expect("sizes in bounds")
}
