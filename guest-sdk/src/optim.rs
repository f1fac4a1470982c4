//! Optimizers: plain guest code over operations. To change one, copy it into the guest and edit it there.

use crate::bindings::lab::train::tensors;
use crate::grad::Grads;
use crate::nn::{JORDAN, QuinticStep};
use crate::tensor::Tensor;

const ADAM_EPS: f32 = 1e-8;

/// Muon (Jordan et al., 2024): Nesterov momentum, then the update's singular values set to about 1. For matrices
/// [rows, cols] inside the network; not for embeddings, the head or scalars.
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
    /// Over `weights`, each of rank 2. `momentum` is usually 0.95, `newton_steps` 5. Decay is decoupled:
    /// w ← w − lr·weight_decay·w.
    #[track_caller]
    pub fn new(weights: Vec<Tensor>, momentum: f32, newton_steps: usize, weight_decay: f32) -> Muon {
        let matrices = weights.into_iter().map(Matrix::new).collect();
        Muon { matrices, momentum, steps: vec![JORDAN; newton_steps], weight_decay }
    }

    /// Orthogonalises by these steps instead: `.orthogonalize_by(&POLAR_EXPRESS)`.
    pub fn orthogonalize_by(mut self, steps: &[QuinticStep]) -> Muon {
        self.steps = steps.to_vec();
        self
    }

    /// One update at learning rate `lr`.
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
            panic!("Muon takes matrices; a parameter has shape {shape:?}");
        };
        let rate = (rows as f32 / cols as f32).max(1.0).sqrt();
        Matrix { velocity: Tensor::zeros([rows, cols]).variable(), weight, rate }
    }
}

/// AdamW (Loshchilov and Hutter, 2017): Adam with bias-corrected moments and decoupled weight decay, with a learning
/// rate per group of parameters.
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
    /// Without parameters yet: add them by [`AdamW::group`].
    pub fn new(beta1: f32, beta2: f32, weight_decay: f32) -> AdamW {
        AdamW { groups: Vec::new(), beta1, beta2, weight_decay, steps: 0 }
    }

    /// Adds parameters that learn at rate `lr`.
    #[track_caller]
    pub fn group(mut self, weights: Vec<Tensor>, lr: f32) -> AdamW {
        self.groups.push((weights.into_iter().map(Moments::new).collect(), lr));
        self
    }

    /// One update, each group at its own rate times `factor`: the schedule.
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
    /// Starts as the present values.
    #[track_caller]
    pub fn of(parameters: &[Tensor]) -> Average {
        Average { pairs: parameters.iter().map(|parameter| (parameter.clone(), parameter.variable())).collect() }
    }

    /// Takes the present values in. With decay 1 − 1/n at the n-th call it is their plain mean.
    #[track_caller]
    pub fn update(&mut self, decay: f32) {
        for (parameter, average) in &self.pairs {
            average.blend(decay, parameter, 1.0 - decay);
        }
    }

    /// The parameters become their averages: at the end of training, for the model that is scored.
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
    /// Copies the present values.
    #[track_caller]
    pub fn of(parameters: &[Tensor]) -> Snapshot {
        Snapshot { pairs: parameters.iter().map(|parameter| (parameter.clone(), parameter.detach())).collect() }
    }

    /// The parameters get these values back.
    #[track_caller]
    pub fn restore(&self) {
        self.pairs.iter().for_each(|(parameter, saved)| parameter.assign(saved));
    }
}
