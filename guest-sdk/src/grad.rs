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
        let found = self.0.get(&parameter.handle().handle());
        found.unwrap_or_else(|| panic!("no gradient by a tensor of shape {:?}: not a parameter", parameter.shape()))
    }
}

/// Gradients.
impl Tensor {
    /// d self / d x for every parameter x. `self` has one element. Frees the graph.
    #[track_caller]
    pub fn backward(&self) -> Grads {
        let parameters = PARAMETERS.with_borrow(Vec::clone);
        let gradients = self.gradients(&parameters.iter().collect::<Vec<_>>());
        let keys = parameters.iter().map(|parameter| parameter.handle().handle());
        Grads(keys.zip(gradients).collect())
    }

    /// d self / d x for each `x` of `by`, in order: parameters, or anything computed from them. Frees the graph.
    #[track_caller]
    pub fn gradients(&self, by: &[&Tensor]) -> Vec<Tensor> {
        let handles: Vec<&Handle> = by.iter().map(|x| x.handle()).collect();
        autograd::backward(self.handle(), &handles).into_iter().map(Tensor::from).collect()
    }

    /// The same value, outside the graph: no gradient flows through it.
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        autograd::detach(self.handle()).into()
    }
}

/// Runs `compute` without recording a graph: cheaper where no gradient is wanted.
pub fn no_grad<T>(compute: impl FnOnce() -> T) -> T {
    let before = autograd::set_recording(false);
    let result = compute();
    autograd::set_recording(before);
    result
}
