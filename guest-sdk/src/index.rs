//! Lookup by index, and order. Indices are u32 (cast i64); one beyond its axis ends the run with the value and the
//! line.

use crate::bindings::lab::train::tensors;
use crate::tensor::{DType, Tensor, no_axis, size};

/// Indexing. Cost: gather, where nothing else is said.
impl Tensor {
    /// Rows of this table [n, d] for `indices` [..] → [.., d]. Any dtype.
    #[track_caller]
    pub fn embedding(&self, indices: &Tensor) -> Tensor {
        tensors::embedding(self.handle(), indices.handle()).into()
    }

    /// Positions of `axis` in the order of `indices` [k]: [.., n, ..] → [.., k, ..]. Any dtype. Cost: gather and
    /// copies.
    #[track_caller]
    pub fn index_select(&self, axis: usize, indices: &Tensor) -> Tensor {
        let (shape, picked) = (self.shape(), indices.shape());
        let [k] = picked[..] else {
            panic!("index_select of {shape:?} by indices {picked:?}: they must be [k]; reshape them");
        };
        if axis >= shape.len() {
            no_axis("index_select", axis, &shape);
        }
        let first = if axis == 0 { self.clone() } else { self.transpose(0, axis) };
        let mut shape = first.shape();
        let rows = first.reshape([shape[0], shape[1..].iter().product()]).embedding(indices);
        shape[0] = k;
        let picked = rows.reshape(shape);
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
        let shape = self.shape();
        assert!(
            self.dtype() == DType::U32 && classes > 0,
            "one_hot of {shape:?}: u32 and at least one class are needed"
        );
        self.unsqueeze(shape.len()).eq(Tensor::arange(classes)).cast(DType::F32)
    }

    /// The first place (u32) of the largest along `axis`, which goes. NaN is above every number. f32, u8, u32, i64.
    /// Cost: reduction.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Tensor {
        tensors::argmax(self.handle(), size(axis)).into()
    }

    /// The first place (u32) of the smallest along `axis`, which goes. NaN is below every number. f32.
    /// Cost: elementwise and reduction.
    #[track_caller]
    pub fn argmin(&self, axis: usize) -> Tensor {
        assert!(self.dtype() == DType::F32, "argmin of {:?}: it must be f32; cast it first", self.shape());
        (-self).argmax(axis)
    }

    /// The places (u32) of the last axis in rising order of value, or falling where `descending`. Equals keep their
    /// order, NaN is above every number. f32, u8, u32, i64. Cost: reduction, n·log n.
    #[track_caller]
    pub fn argsort(&self, descending: bool) -> Tensor {
        tensors::argsort(self.handle(), descending).into()
    }

    /// The last axis in order, and the places (u32) that its values had. Gradients flow. Cost: as argsort, and a
    /// gather.
    #[track_caller]
    pub fn sort(&self, descending: bool) -> (Tensor, Tensor) {
        let places = self.argsort(descending);
        (self.gather(self.shape().len() - 1, &places), places)
    }

    /// The k largest of the last axis, falling, and their places (u32): [.., n] → [.., k] twice. Gradients flow.
    /// Cost: as argsort, and a gather.
    #[track_caller]
    pub fn topk(&self, k: usize) -> (Tensor, Tensor) {
        let shape = self.shape();
        let axis = shape.len().saturating_sub(1);
        let n = shape.last().copied().unwrap_or(0);
        assert!((1..=n).contains(&k), "topk of {shape:?}: k is {k}; it must be 1 to {n}, the last axis");
        let places = self.argsort(true).narrow(axis, 0, k);
        (self.gather(axis, &places), places)
    }
}
