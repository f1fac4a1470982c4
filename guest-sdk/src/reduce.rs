//! Reductions of f32 tensors. What ends in `_over` keeps the axes with size 1, so that the result broadcasts against
//! what it was made of.

use crate::bindings::lab::train::tensors::{self, ReduceOp};
use crate::tensor::{DType, Tensor, size, sizes};

/// Reductions of f32. What ends in `_over` keeps the axes with size 1, [a, b, c] → [a, 1, c] over axis 1; axes are
/// given in any order, each once, and no axes leave the values as they are. Cost: reduction, where nothing else is
/// said.
impl Tensor {
    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum(&self) -> Tensor {
        self.reduce(ReduceOp::Sum, &[], false)
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean(&self) -> Tensor {
        self.reduce(ReduceOp::Mean, &[], false)
    }

    /// The largest element, a scalar; NaN if any is NaN. Equals share the gradient.
    #[track_caller]
    pub fn max(&self) -> Tensor {
        self.reduce(ReduceOp::Max, &[], false)
    }

    /// The smallest element, a scalar; NaN if any is NaN. Equals share the gradient.
    #[track_caller]
    pub fn min(&self) -> Tensor {
        self.reduce(ReduceOp::Min, &[], false)
    }

    /// √Σx², a scalar. The gradient at a vector of zeros is NaN; add a little under a root of your own where that can
    /// be. Cost: elementwise and reduction.
    #[track_caller]
    pub fn norm(&self) -> Tensor {
        self.square().sum().sqrt()
    }

    /// Sums over `axes`, which stay with size 1.
    #[track_caller]
    pub fn sum_over(&self, axes: impl AsRef<[usize]>) -> Tensor {
        self.over(ReduceOp::Sum, axes)
    }

    /// Means over `axes`, which stay with size 1.
    #[track_caller]
    pub fn mean_over(&self, axes: impl AsRef<[usize]>) -> Tensor {
        self.over(ReduceOp::Mean, axes)
    }

    /// The largest over `axes`, which stay with size 1. Equals share the gradient.
    #[track_caller]
    pub fn max_over(&self, axes: impl AsRef<[usize]>) -> Tensor {
        self.over(ReduceOp::Max, axes)
    }

    /// The smallest over `axes`, which stay with size 1. Equals share the gradient.
    #[track_caller]
    pub fn min_over(&self, axes: impl AsRef<[usize]>) -> Tensor {
        self.over(ReduceOp::Min, axes)
    }

    /// mean((x − mean(x))²) over `axes`, which stay with size 1. Cost: two reductions and two elementwise.
    #[track_caller]
    pub fn var_over(&self, axes: impl AsRef<[usize]>) -> Tensor {
        let axes = axes.as_ref();
        (self - self.mean_over(axes)).square().mean_over(axes)
    }

    /// √Σx² over `axes`, which stay with size 1. The gradient at zeros is NaN, as of [`Tensor::norm`]. Cost:
    /// elementwise and reduction.
    #[track_caller]
    pub fn norm_over(&self, axes: impl AsRef<[usize]>) -> Tensor {
        self.square().sum_over(axes).sqrt()
    }

    /// Running sums along `axis`, each with its own element: y[i] = Σ x[..=i].
    #[track_caller]
    pub fn cumsum(&self, axis: usize) -> Tensor {
        tensors::cumsum(self.handle(), size(axis), false).into()
    }

    /// e^x / Σ e^x along the last axis. Cost: loss.
    #[track_caller]
    pub fn softmax(&self) -> Tensor {
        tensors::softmax(self.handle()).into()
    }

    /// x − ln Σ e^x along the last axis. Cost: loss, a reduction and two elementwise.
    #[track_caller]
    pub fn log_softmax(&self) -> Tensor {
        let last = self.shape().len().saturating_sub(1);
        // Beside a large x, the logarithm of the sum would be rounded away.
        let shifted = self - self.max_over([last]).detach();
        &shifted - shifted.logsumexp().unsqueeze(last)
    }

    /// ln Σ e^x along the last axis, which goes: [.., n] → [..]. Cost: loss.
    #[track_caller]
    pub fn logsumexp(&self) -> Tensor {
        tensors::logsumexp(self.handle()).into()
    }

    #[track_caller]
    fn over(&self, op: ReduceOp, axes: impl AsRef<[usize]>) -> Tensor {
        let axes = sizes(axes);
        // The contract's empty list means all axes.
        if !axes.is_empty() {
            return self.reduce(op, &axes, true);
        }
        assert!(self.dtype() == DType::F32, "a reduction of {:?} over no axes: it must be f32", self.shape());
        self.clone()
    }

    #[track_caller]
    fn reduce(&self, op: ReduceOp, axes: &[u32], keep: bool) -> Tensor {
        tensors::reduce(op, self.handle(), axes, keep).into()
    }
}
