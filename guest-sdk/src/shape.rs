//! Changes of shape, for tensors of any dtype.

use crate::bindings::lab::train::tensors;
use crate::rt::Handle;
use crate::tensor::{DType, Tensor, no_axis, size, sizes};

/// Shape.
impl Tensor {
    /// The same elements in another shape. Cost: next to nothing.
    #[track_caller]
    pub fn reshape(&self, shape: impl AsRef<[usize]>) -> Tensor {
        tensors::reshape(self.handle(), &sizes(shape)).into()
    }

    /// An axis of size 1 put in at `axis`: [a, b] → [a, 1, b] for axis 1. Cost: next to nothing.
    #[track_caller]
    pub fn unsqueeze(&self, axis: usize) -> Tensor {
        let mut shape = self.shape();
        assert!(axis <= shape.len(), "unsqueeze of {shape:?}: axis {axis} must be at most {}", shape.len());
        shape.insert(axis, 1);
        self.reshape(shape)
    }

    /// Output axis i is input axis `axes[i]`. Cost: copy.
    #[track_caller]
    pub fn permute(&self, axes: impl AsRef<[usize]>) -> Tensor {
        tensors::permute(self.handle(), &sizes(axes)).into()
    }

    /// Two axes swapped. Cost: copy.
    #[track_caller]
    pub fn transpose(&self, a: usize, b: usize) -> Tensor {
        let shape = self.shape();
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        if a.max(b) >= axes.len() {
            no_axis("transpose", a.max(b), &shape);
        }
        axes.swap(a, b);
        self.permute(axes)
    }

    /// `len` positions of `axis` from `start`: [.., n, ..] → [.., len, ..]. Cost: copy.
    #[track_caller]
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Tensor {
        tensors::narrow(self.handle(), size(axis), size(start), size(len)).into()
    }

    /// Zeros before and after along `axis`: [.., n, ..] → [.., before + n + after, ..]. Cost: copy.
    #[track_caller]
    pub fn pad(&self, axis: usize, before: usize, after: usize) -> Tensor {
        tensors::pad(self.handle(), size(axis), size(before), size(after)).into()
    }

    /// `parts` joined along `axis`; their other sizes are equal. Cost: copy.
    #[track_caller]
    pub fn cat(parts: &[&Tensor], axis: usize) -> Tensor {
        let handles: Vec<&Handle> = parts.iter().map(|part| part.handle()).collect();
        tensors::cat(&handles, size(axis)).into()
    }

    /// `parts` of one shape joined along a new axis: n of [a, b] → [n, a, b] for axis 0. Cost: copy.
    #[track_caller]
    pub fn stack(parts: &[&Tensor], axis: usize) -> Tensor {
        let mut raised = Vec::new();
        for part in parts {
            raised.push(part.unsqueeze(axis));
        }
        Tensor::cat(&raised.iter().collect::<Vec<_>>(), axis)
    }

    /// Parts of the given lengths along `axis`, in order. Cost: copy.
    #[track_caller]
    pub fn split(&self, axis: usize, lengths: impl AsRef<[usize]>) -> Vec<Tensor> {
        let size = self.size_for("split", axis);
        let mut parts = Vec::new();
        let mut start = 0;
        for &len in lengths.as_ref() {
            parts.push(self.narrow(axis, start, len));
            start += len;
        }
        assert!(start == size, "split of {:?}: the lengths make {start}, axis {axis} has {size}", self.shape());
        parts
    }

    /// Axes of size 1 repeated to the sizes of `shape`; leading axes may be added. Cost: copy.
    #[track_caller]
    pub fn expand(&self, shape: impl AsRef<[usize]>) -> Tensor {
        tensors::expand(self.handle(), &sizes(shape)).into()
    }

    /// The axis backwards. Cost: gather and copies.
    #[track_caller]
    pub fn flip(&self, axis: usize) -> Tensor {
        let last = self.size_for("flip", axis) - 1;
        let backwards = Tensor::from_u32([], &[size(last)]) - Tensor::arange(last + 1);
        self.index_select(axis, &backwards)
    }

    /// Position i of `axis` goes to i + `by`, round the end; a negative `by` goes back. Cost: copies.
    #[track_caller]
    pub fn roll(&self, axis: usize, by: isize) -> Tensor {
        let n = self.size_for("roll", axis);
        let by = by.rem_euclid(n as isize) as usize;
        if by == 0 {
            return self.clone();
        }
        let (head, tail) = (self.narrow(axis, 0, n - by), self.narrow(axis, n - by, by));
        Tensor::cat(&[&tail, &head], axis)
    }

    /// The last two axes [.., m, n] with 0 above the diagonal that lies `diagonal` columns right of the main one.
    /// Any dtype. Cost: elementwise.
    #[track_caller]
    pub fn tril(&self, diagonal: i64) -> Tensor {
        let below = self.columns_minus_rows("tril").le(Tensor::from_i64([], &[diagonal]));
        below.select(self, &self.zero())
    }

    /// The last two axes [.., m, n] with 0 below the diagonal that lies `diagonal` columns right of the main one.
    /// Any dtype. Cost: elementwise.
    #[track_caller]
    pub fn triu(&self, diagonal: i64) -> Tensor {
        let above = self.columns_minus_rows("triu").ge(Tensor::from_i64([], &[diagonal]));
        above.select(self, &self.zero())
    }

    /// How far right of the main diagonal each element of the last two axes lies: [m, n] i64.
    #[track_caller]
    fn columns_minus_rows(&self, operation: &str) -> Tensor {
        let shape = self.shape();
        let [.., rows, columns] = shape[..] else {
            panic!("{operation} of {shape:?}: at least 2 axes are needed");
        };
        let count = |n: usize| Tensor::arange(n).cast(DType::I64);
        count(columns) - count(rows).reshape([rows, 1])
    }

    /// A scalar 0 of this tensor's dtype.
    #[track_caller]
    fn zero(&self) -> Tensor {
        Tensor::zeros([]).cast(self.dtype())
    }

    /// The width divided among heads of `dim` each: [b, t, w] → [b, t, w/dim, dim]. Cost: next to nothing.
    #[track_caller]
    pub fn heads(&self, dim: usize) -> Tensor {
        let shape = self.shape();
        match shape[..] {
            [batch, time, width] if dim > 0 && width % dim == 0 => self.reshape([batch, time, width / dim, dim]),
            [_, _, width] => panic!("heads of {shape:?}: the width {width} does not divide into heads of {dim}"),
            _ => panic!("heads of {shape:?}: [batch, time, width] is needed"),
        }
    }

    /// The heads side by side: [b, t, h, d] → [b, t, h·d]. Cost: next to nothing.
    #[track_caller]
    pub fn merge_heads(&self) -> Tensor {
        let shape = self.shape();
        match shape[..] {
            [batch, time, heads, dim] => self.reshape([batch, time, heads * dim]),
            _ => panic!("merge_heads of {shape:?}: [batch, time, heads, dim] is needed"),
        }
    }
}
