//! Optimizers: plain guest code over operations. What is published about them is a call away; for anything else, copy
//! one into the guest and edit it there.

use crate::bindings::lab::train::tensors;
use crate::grad::{Grads, no_grad};
use crate::nn::{QuinticStep, jordan};
use crate::tensor::{DType, Tensor};

const ADAM_EPS: f32 = 1e-8;

/// Added to norms and moments of rows before a division.
const ROW_EPS: f32 = 1e-10;

/// Muon (Jordan et al., 2024): Nesterov momentum, then the update's singular values set to about 1. For matrices
/// [rows, cols] inside the network; not for embeddings, the head or scalars. With velocity v, momentum m, gradient g:
/// v ← m·v + (1 − m)·g; u = orthogonalize(m·v + (1 − m)·g);
/// w ← (1 − lr·weight_decay)·w − lr·√max(1, rows/cols)·u.
pub struct Muon {
    matrices: Vec<Matrix>,
    momentum: f32,
    steps: Vec<QuinticStep>,
    weight_decay: f32,
    cautious: bool,
    equal_rows: bool,
    row_memory: Option<f32>,
    block_rows: Option<usize>,
}

struct Matrix {
    weight: Tensor,
    velocity: Tensor,
    /// Running mean square of each row of the update, [rows, 1]; NorMuon's alone.
    row_squares: Option<Tensor>,
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
        let steps = jordan("Muon::new", newton_steps);
        let (cautious, equal_rows, row_memory, block_rows) = (false, false, None, None);
        Muon { matrices, momentum, steps, weight_decay, cautious, equal_rows, row_memory, block_rows }
    }

    /// Orthogonalises by these steps instead, at most 64: `.orthogonalize_by(&POLAR_EXPRESS)`.
    pub fn orthogonalize_by(mut self, steps: &[QuinticStep]) -> Muon {
        self.steps = steps.to_vec();
        self
    }

    /// Decays only what the update makes smaller (Chen et al., *Cautious Weight Decay*, 2025):
    /// w ← w − lr·weight_decay·w·[u·w > 0] − …, element by element. Cost: for each matrix five elementwise operations
    /// a step.
    pub fn cautious(mut self) -> Muon {
        self.cautious = true;
        self
    }

    /// MuonEq-R: every row of m·v + (1 − m)·g is divided by its norm √Σx² before the orthogonalisation. Cost: for each
    /// matrix two elementwise operations and a reduction a step.
    pub fn equal_rows(mut self) -> Muon {
        self.equal_rows = true;
        self
    }

    /// NorMuon (Li et al., 2025): after the orthogonalisation every row is divided by the root of a running mean of its
    /// squares, s ← memory·s + (1 − memory)·mean(u²), and the whole gets its norm √Σu² back. `memory` is usually 0.95,
    /// in [0, 1). Cost: copy, and for each matrix six elementwise operations, three reductions and one of the optimizer
    /// a step.
    #[track_caller]
    pub fn normalize_rows(mut self, memory: f32) -> Muon {
        for matrix in &mut self.matrices {
            matrix.row_squares = Some(Tensor::zeros([matrix.weight.size(0), 1]).variable());
        }
        self.row_memory = Some(memory);
        self
    }

    /// Orthogonalises blocks of that many rows on their own, such as the heads of attention: `.in_blocks(HEAD_DIM)`.
    /// A matrix whose rows are not a multiple of `rows` stays whole. Cost: the products of [`Tensor::orthogonalize`],
    /// which are fewer for blocks than for the whole.
    pub fn in_blocks(mut self, rows: usize) -> Muon {
        self.block_rows = Some(rows);
        self
    }

    /// Another momentum from the next step on: a schedule.
    pub fn set_momentum(&mut self, momentum: f32) {
        self.momentum = momentum;
    }

    /// Another weight decay from the next step on: `muon.set_weight_decay(WEIGHT_DECAY * (1.0 - lab.progress()))`.
    pub fn set_weight_decay(&mut self, weight_decay: f32) {
        self.weight_decay = weight_decay;
    }

    /// One update at learning rate `lr`. Cost: for each matrix two optimizer and three elementwise operations, and the
    /// products of [`Tensor::orthogonalize`].
    #[track_caller]
    pub fn step(&mut self, grads: &Grads, lr: f32) {
        for matrix in &self.matrices {
            self.update(matrix, grads.of(&matrix.weight), lr);
        }
    }

    #[track_caller]
    fn update(&self, matrix: &Matrix, grad: &Tensor, lr: f32) {
        let Matrix { weight, velocity, row_squares, rate } = matrix;
        velocity.blend(self.momentum, grad, 1.0 - self.momentum);
        let mut ahead = grad * (1.0 - self.momentum) + velocity * self.momentum;
        if self.equal_rows {
            ahead = &ahead / (ahead.norm_over([1]) + ROW_EPS);
        }
        let mut update = self.orthogonal(&ahead);
        if let Some((squares, memory)) = row_squares.as_ref().zip(self.row_memory) {
            squares.blend(memory, &update.square().mean_over([1]), 1.0 - memory);
            let rows = &update / (squares + ROW_EPS).sqrt();
            update = &rows * (update.norm() / (rows.norm() + ROW_EPS));
        }
        let mut decay = 1.0 - lr * self.weight_decay;
        if self.cautious {
            let decayed = no_grad(|| (&update * weight).gt(0.0).cast(DType::F32) * weight);
            update = update + decayed * (self.weight_decay / rate);
            decay = 1.0;
        }
        weight.blend(decay, &update, -lr * rate);
    }

    #[track_caller]
    fn orthogonal(&self, ahead: &Tensor) -> Tensor {
        let (rows, cols) = (ahead.size(0), ahead.size(1));
        match self.block_rows {
            Some(block) if block > 0 && rows % block == 0 => {
                ahead.reshape([rows / block, block, cols]).orthogonalize(&self.steps).reshape([rows, cols])
            }
            _ => ahead.orthogonalize(&self.steps),
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
        Matrix { velocity: Tensor::zeros([rows, cols]).variable(), weight, row_squares: None, rate }
    }
}

/// AdamW (Loshchilov and Hutter, 2017): Adam with bias-corrected moments and decoupled weight decay, with a learning
/// rate per group of parameters. With gradient g, at the n-th step: m ← beta1·m + (1 − beta1)·g;
/// v ← beta2·v + (1 − beta2)·g²; w ← w − lr·weight_decay·w − lr·(m / (1 − beta1ⁿ)) / (√(v / (1 − beta2ⁿ)) + 10⁻⁸).
pub struct AdamW {
    groups: Vec<Group>,
    beta1: f32,
    beta2: f32,
    weight_decay: f32,
    steps: u32,
}

struct Group {
    parameters: Vec<Moments>,
    lr: f32,
    beta1: f32,
    beta2: f32,
    weight_decay: f32,
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
        let AdamW { beta1, beta2, weight_decay, .. } = self;
        self.groups.push(Group { parameters, lr, beta1, beta2, weight_decay });
        self
    }

    /// Betas of the group that was added last: `.group(net.group("scalars"), LR).with_betas(0.9, 0.99)`.
    #[track_caller]
    pub fn with_betas(mut self, beta1: f32, beta2: f32) -> AdamW {
        let group = self.last_group("with_betas");
        (group.beta1, group.beta2) = (beta1, beta2);
        self
    }

    /// Weight decay of the group that was added last.
    #[track_caller]
    pub fn with_weight_decay(mut self, weight_decay: f32) -> AdamW {
        self.last_group("with_weight_decay").weight_decay = weight_decay;
        self
    }

    #[track_caller]
    fn last_group(&mut self, method: &str) -> &mut Group {
        match self.groups.last_mut() {
            Some(group) => group,
            None => panic!("AdamW::{method}: there is no group yet; add one by `group` first"),
        }
    }

    /// One update, each group at its own rate times `factor`: the schedule. Cost: optimizer, once for each parameter.
    #[track_caller]
    pub fn step(&mut self, grads: &Grads, factor: f32) {
        self.steps += 1;
        for Group { parameters, lr, beta1, beta2, weight_decay } in &self.groups {
            let how = tensors::Adamw {
                lr: lr * factor,
                beta1: *beta1,
                beta2: *beta2,
                eps: ADAM_EPS,
                weight_decay: *weight_decay,
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
