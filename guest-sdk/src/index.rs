//! Lookup by index, and order. Indices are u32 (cast i64); one beyond its axis ends the run with the value and the line.

use crate::bindings::lab::train::tensors;
use crate::tensor::{DType, Tensor, size};

/// Indexing. Cost: gather, where nothing else is said.
impl Tensor {
    /// Rows of this table [n, d] for `indices` [..] → [.., d]. Any dtype.
    #[track_caller]
    pub fn embedding(&self, indices: &Tensor) -> Tensor {
        tensors::embedding(self.handle(), indices.handle()).into()
    }

    /// Positions of `axis` in the order of `indices` [k]: [.., n, ..] → [.., k, ..]. Any dtype. Cost: gather and copies.
    #[track_caller]
    pub fn index_select(&self, axis: usize, indices: &Tensor) -> Tensor {
        let first = if axis == 0 { self.clone() } else { self.transpose(0, axis) };
        let shape = first.shape();
        let [n, ref rest @ ..] = shape[..] else {
            panic!("index_select of a scalar");
        };
        let picked = first.reshape([n, rest.iter().product()]).embedding(indices);
        let picked = picked.reshape([indices.shape().as_slice(), rest].concat());
        if axis == 0 { picked } else { picked.transpose(0, axis) }
    }

    /// y[.., i, ..] = x[.., indices[.., i, ..], ..] along `axis`. The indices have this tensor's sizes but along the
    /// axis; the result has theirs. Any dtype.
    #[track_caller]
    pub fn gather(&self, axis: usize, indices: &Tensor) -> Tensor {
        tensors::gather(self.handle(), size(axis), indices.handle()).into()
    }

    /// This tensor with each of `values` (f32, of the shape of `indices`) added at its index along `axis`, in order.
    #[track_caller]
    pub fn scatter_add(&self, axis: usize, indices: &Tensor, values: &Tensor) -> Tensor {
        tensors::scatter_add(self.handle(), size(axis), indices.handle(), values.handle()).into()
    }

    /// 1 at each index, else 0: u32 [..] → f32 [.., classes]. An index that is not below `classes` gives zeros.
    /// Cost: elementwise.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        let rank = self.shape().len();
        self.unsqueeze(rank).eq(Tensor::arange(classes)).cast(DType::F32)
    }

    /// The first place (u32) of the largest along `axis`, which goes. NaN is above every number. f32, u8, u32, i64.
    /// Cost: reduction.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Tensor {
        tensors::argmax(self.handle(), size(axis)).into()
    }

    /// The first place (u32) of the smallest along `axis`, which goes; f32. Cost: reduction.
    #[track_caller]
    pub fn argmin(&self, axis: usize) -> Tensor {
        (-self).argmax(axis)
    }

    /// The places (u32) of the last axis in rising order of value, or falling where `descending`. Equals keep their
    /// order, NaN is above every number. f32, u8, u32, i64. Cost: reduction, n·log n.
    #[track_caller]
    pub fn argsort(&self, descending: bool) -> Tensor {
        tensors::argsort(self.handle(), descending).into()
    }

    /// The last axis in order, and the places (u32) that its values had. Gradients flow. Cost: as argsort, and a gather.
    #[track_caller]
    pub fn sort(&self, descending: bool) -> (Tensor, Tensor) {
        let places = self.argsort(descending);
        (self.gather(self.shape().len() - 1, &places), places)
    }

    /// The k largest of the last axis, falling, and their places (u32): [.., n] → [.., k] twice. Gradients flow.
    /// Cost: as argsort, and a gather.
    #[track_caller]
    pub fn topk(&self, k: usize) -> (Tensor, Tensor) {
        let axis = self.shape().len().saturating_sub(1);
        let places = self.argsort(true).narrow(axis, 0, k);
        (self.gather(axis, &places), places)
    }
}
