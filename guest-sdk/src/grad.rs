//! Gradients: `backward` over all parameters or over chosen tensors, and what turns recording off.

use crate::bindings::lab::train::autograd;
use crate::rt::Handle;
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static PARAMETERS: RefCell<Vec<Tensor>> = const { RefCell::new(Vec::new()) };
}

/// Makes `parameter` one of those that [`Tensor::backward`] differentiates by.
pub(crate) fn register(parameter: &Tensor) {
    PARAMETERS.with_borrow_mut(|all| all.push(parameter.clone()));
}

/// Gradients of one loss by every parameter.
pub struct Grads(BTreeMap<u32, Tensor>);

impl Grads {
    /// The gradient by `parameter`, of its shape; zeros where the loss does not depend on it.
    #[track_caller]
    pub fn of(&self, parameter: &Tensor) -> &Tensor {
        match self.0.get(&parameter.handle().handle()) {
            Some(gradient) => gradient,
            None => panic!(
                "backward: no gradient by a tensor of shape {:?}; there is one by each that `Net::parameter` declared",
                parameter.shape()
            ),
        }
    }

    /// Adds the gradients of another loss: several small batches make a large one. Cost: elementwise.
    #[track_caller]
    pub fn accumulate(&mut self, more: Grads) {
        for (key, gradient) in more.0 {
            let sum = self.0.get(&key).map(|before| before + &gradient);
            self.0.insert(key, sum.unwrap_or(gradient));
        }
    }

    /// Multiplies every gradient by `factor`. Cost: elementwise.
    #[track_caller]
    pub fn scale(&mut self, factor: f32) {
        self.0.values_mut().for_each(|gradient| *gradient = &*gradient * factor);
    }

    /// √Σg² of all gradients together, a scalar. Cost: elementwise and reduction.
    #[track_caller]
    pub fn norm(&self) -> Tensor {
        let squares = self.0.values().map(|gradient| gradient.square().sum());
        squares.reduce(|sum, square| sum + square).unwrap_or_else(|| Tensor::zeros([])).sqrt()
    }

    /// Scales every gradient by min(1, most / (norm + 10⁻⁶)), so that their norm together is at most `most`. Cost: as
    /// norm, and elementwise.
    #[track_caller]
    pub fn clip(&mut self, most: f32) {
        let factor = (most / (self.norm() + 1e-6)).minimum(1.0);
        self.0.values_mut().for_each(|gradient| *gradient = &*gradient * &factor);
    }
}

/// Gradients.
impl Tensor {
    /// d self / d x for every parameter x. `self` has one element. Frees the graph: only once for each loss. Cost: the
    /// gradients of what was recorded, each of the class of its operation; of a product two products, of attention 2.5
    /// times the attention, of most others about as much as forward.
    #[track_caller]
    pub fn backward(&self) -> Grads {
        let parameters = PARAMETERS.with_borrow(Vec::clone);
        let gradients = self.gradients(&parameters.iter().collect::<Vec<_>>());
        let keys = parameters.iter().map(|parameter| parameter.handle().handle());
        Grads(keys.zip(gradients).collect())
    }

    /// d self / d x for each `x` of `by`, in order: parameters, or anything computed from them. Frees the graph. Cost:
    /// as backward, for what lies between.
    #[track_caller]
    pub fn gradients(&self, by: &[&Tensor]) -> Vec<Tensor> {
        let handles: Vec<&Handle> = by.iter().map(|x| x.handle()).collect();
        autograd::backward(self.handle(), &handles).into_iter().map(Tensor::from).collect()
    }

    /// The same value, outside the graph: no gradient flows through it. Cost: copy.
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        autograd::detach(self.handle()).into()
    }
}

/// Runs `compute` so that the graph keeps none of the values made within: the backward pass computes them again, at
/// their price. Less memory, more budget: `x = checkpoint(|| layer(net, &x));`.
pub fn checkpoint<T>(compute: impl FnOnce() -> T) -> T {
    autograd::begin_checkpoint();
    let result = compute();
    autograd::end_checkpoint();
    result
}

/// Runs `compute` without recording a graph: cheaper where no gradient is wanted.
pub fn no_grad<T>(compute: impl FnOnce() -> T) -> T {
    let before = autograd::set_recording(false);
    let result = compute();
    autograd::set_recording(before);
    result
}
