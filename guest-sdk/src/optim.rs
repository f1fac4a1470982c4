//! Optimizers: plain guest code over operations. To change one, copy it into the guest and edit it there.

use crate::bindings::lab::train::tensors;
use crate::grad::Grads;
use crate::nn::{QuinticStep, jordan};
use crate::tensor::Tensor;

const ADAM_EPS: f32 = 1e-8;

/// Muon (Jordan et al., 2024): Nesterov momentum, then the update's singular values set to about 1. For matrices
/// [rows, cols] inside the network; not for embeddings, the head or scalars. With velocity v, momentum m, gradient g:
/// v ← m·v + (1 − m)·g; u = orthogonalize(m·v + (1 − m)·g);
/// w ← (1 − lr·weight_decay)·w − lr·√max(1, rows/cols)·u.
pub struct Muon {
    matrices: Vec<Matrix>,
    momentum: f32,
    steps: Vec<QuinticStep>,
    weight_decay: f32,
}

struct Matrix {
    weight: Tensor,
    velocity: Tensor,
    /// √max(1, rows/cols): equal size of update for tall and wide matrices.
    rate: f32,
}

impl Muon {
    /// Over `weights`, each of rank 2. `momentum` is usually 0.95, `newton_steps` (of [`Tensor::newton_schulz`]) 5, at
    /// most 64. Cost: copy, for the velocities.
    #[track_caller]
    pub fn new(weights: Vec<Tensor>, momentum: f32, newton_steps: usize, weight_decay: f32) -> Muon {
        let mut matrices = Vec::new();
        for weight in weights {
            matrices.push(Matrix::new(weight));
        }
        Muon { matrices, momentum, steps: jordan("Muon::new", newton_steps), weight_decay }
    }

    /// Orthogonalises by these steps instead, at most 64: `.orthogonalize_by(&POLAR_EXPRESS)`.
    pub fn orthogonalize_by(mut self, steps: &[QuinticStep]) -> Muon {
        self.steps = steps.to_vec();
        self
    }

    /// One update at learning rate `lr`. Cost: for each matrix two optimizer and three elementwise operations, and the
    /// products of [`Tensor::orthogonalize`].
    #[track_caller]
    pub fn step(&mut self, grads: &Grads, lr: f32) {
        for Matrix { weight, velocity, rate } in &self.matrices {
            let grad = grads.of(weight);
            velocity.blend(self.momentum, grad, 1.0 - self.momentum);
            let ahead = grad * (1.0 - self.momentum) + velocity * self.momentum;
            let update = ahead.orthogonalize(&self.steps);
            weight.blend(1.0 - lr * self.weight_decay, &update, -lr * rate);
        }
    }
}

impl Matrix {
    #[track_caller]
    fn new(weight: Tensor) -> Matrix {
        let shape = weight.shape();
        let [rows, cols] = shape[..] else {
            panic!("Muon::new of {shape:?}: matrices [rows, cols] are needed");
        };
        let rate = (rows as f32 / cols as f32).max(1.0).sqrt();
        Matrix { velocity: Tensor::zeros([rows, cols]).variable(), weight, rate }
    }
}

/// AdamW (Loshchilov and Hutter, 2017): Adam with bias-corrected moments and decoupled weight decay, with a learning
/// rate per group of parameters. With gradient g, at the n-th step: m ← beta1·m + (1 − beta1)·g;
/// v ← beta2·v + (1 − beta2)·g²; w ← w − lr·weight_decay·w − lr·(m / (1 − beta1ⁿ)) / (√(v / (1 − beta2ⁿ)) + 10⁻⁸).
pub struct AdamW {
    groups: Vec<(Vec<Moments>, f32)>,
    beta1: f32,
    beta2: f32,
    weight_decay: f32,
    steps: u32,
}

struct Moments {
    weight: Tensor,
    first: Tensor,
    second: Tensor,
}

impl AdamW {
    /// Without parameters yet: add them by [`AdamW::group`]. The betas lie in [0, 1).
    pub fn new(beta1: f32, beta2: f32, weight_decay: f32) -> AdamW {
        AdamW { groups: Vec::new(), beta1, beta2, weight_decay, steps: 0 }
    }

    /// Adds parameters that learn at rate `lr`. Cost: copy, for the moments.
    #[track_caller]
    pub fn group(mut self, weights: Vec<Tensor>, lr: f32) -> AdamW {
        let mut parameters = Vec::new();
        for weight in weights {
            parameters.push(Moments::new(weight));
        }
        self.groups.push((parameters, lr));
        self
    }

    /// One update, each group at its own rate times `factor`: the schedule. Cost: optimizer, once for each parameter.
    #[track_caller]
    pub fn step(&mut self, grads: &Grads, factor: f32) {
        self.steps += 1;
        for (parameters, lr) in &self.groups {
            let how = tensors::Adamw {
                lr: lr * factor,
                beta1: self.beta1,
                beta2: self.beta2,
                eps: ADAM_EPS,
                weight_decay: self.weight_decay,
                step: self.steps,
            };
            for Moments { weight, first, second } in parameters {
                let grad = grads.of(weight);
                tensors::adamw_step(weight.handle(), grad.handle(), first.handle(), second.handle(), how);
            }
        }
    }
}

impl Moments {
    #[track_caller]
    fn new(weight: Tensor) -> Moments {
        let zeros = Tensor::zeros(weight.shape());
        Moments { first: zeros.variable(), second: zeros.variable(), weight }
    }
}

/// Running averages of parameters (Polyak and Juditsky, 1992): average ← decay·average + (1 − decay)·parameter.
pub struct Average {
    pairs: Vec<(Tensor, Tensor)>,
}

impl Average {
    /// Starts as the present values. Cost: copy.
    #[track_caller]
    pub fn of(parameters: &[Tensor]) -> Average {
        Average { pairs: parameters.iter().map(|parameter| (parameter.clone(), parameter.variable())).collect() }
    }

    /// Takes the present values in. With decay 1 − 1/n at the n-th call it is their plain mean. Cost: optimizer.
    #[track_caller]
    pub fn update(&mut self, decay: f32) {
        for (parameter, average) in &self.pairs {
            average.blend(decay, parameter, 1.0 - decay);
        }
    }

    /// The parameters become their averages: at the end of training, for the model that is scored. Cost: optimizer.
    #[track_caller]
    pub fn store(&self) {
        self.pairs.iter().for_each(|(parameter, average)| parameter.assign(average));
    }
}

/// Values of parameters at one moment.
pub struct Snapshot {
    pairs: Vec<(Tensor, Tensor)>,
}

impl Snapshot {
    /// Copies the present values. Cost: copy.
    #[track_caller]
    pub fn of(parameters: &[Tensor]) -> Snapshot {
        Snapshot { pairs: parameters.iter().map(|parameter| (parameter.clone(), parameter.detach())).collect() }
    }

    /// The parameters get these values back. Cost: optimizer.
    #[track_caller]
    pub fn restore(&self) {
        self.pairs.iter().for_each(|(parameter, saved)| parameter.assign(saved));
    }
}
