//! The tensor: a shared handle to values in the host. Creation, shape, reading and in-place changes; arithmetic is in
//! `ops`.

use crate::bindings::lab::train::{state, tensors};
use crate::rt::Handle;
use std::fmt;
use std::rc::Rc;

/// A tensor of f32 (or u32: tokens and indices) in the host. Cloning copies the handle, not the values; the host frees
/// the values with the last clone.
#[derive(Clone)]
pub struct Tensor(Rc<Handle>);

impl From<Handle> for Tensor {
    fn from(handle: Handle) -> Self {
        Tensor(Rc::new(handle))
    }
}

impl From<Tensor> for Handle {
    fn from(tensor: Tensor) -> Handle {
        Rc::try_unwrap(tensor.0).unwrap_or_else(|shared| tensors::reshape(&shared, &shared.shape()))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape())
    }
}

/// A size as the contract has it.
#[track_caller]
pub(crate) fn size(n: usize) -> u32 {
    u32::try_from(n).unwrap_or_else(|_| panic!("{n} is too large for a size; at most {} is allowed", u32::MAX))
}

#[track_caller]
pub(crate) fn sizes(list: impl AsRef<[usize]>) -> Vec<u32> {
    list.as_ref().iter().map(|&n| size(n)).collect()
}

/// Creation.
impl Tensor {
    /// All elements `value`.
    #[track_caller]
    pub fn full(shape: impl AsRef<[usize]>, value: f32) -> Tensor {
        tensors::full(&sizes(shape), value).into()
    }

    /// All elements 0.
    #[track_caller]
    pub fn zeros(shape: impl AsRef<[usize]>) -> Tensor {
        Tensor::full(shape, 0.0)
    }

    /// All elements 1.
    #[track_caller]
    pub fn ones(shape: impl AsRef<[usize]>) -> Tensor {
        Tensor::full(shape, 1.0)
    }

    /// 0, 1, …, len − 1 as u32: `[len]`.
    #[track_caller]
    pub fn arange(len: usize) -> Tensor {
        tensors::arange(size(len)).into()
    }

    /// The given f32 values, row-major.
    #[track_caller]
    pub fn from_f32(shape: impl AsRef<[usize]>, values: &[f32]) -> Tensor {
        tensors::from_f32(&sizes(shape), values).into()
    }

    /// The given u32 values, row-major: indices.
    #[track_caller]
    pub fn from_u32(shape: impl AsRef<[usize]>, values: &[u32]) -> Tensor {
        tensors::from_u32(&sizes(shape), values).into()
    }

    /// Uniform in [low, high); the experiment's random seed decides the values.
    #[track_caller]
    pub fn uniform(shape: impl AsRef<[usize]>, low: f32, high: f32) -> Tensor {
        tensors::uniform(0, &sizes(shape), low, high).into()
    }

    /// Normal; the experiment's random seed decides the values.
    #[track_caller]
    pub fn normal(shape: impl AsRef<[usize]>, mean: f32, std: f32) -> Tensor {
        tensors::normal(0, &sizes(shape), mean, std).into()
    }
}

/// Shape and values.
impl Tensor {
    /// Sizes, outermost first; a scalar has none.
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape().into_iter().map(|n| n as usize).collect()
    }

    /// The size of one axis.
    #[track_caller]
    pub fn size(&self, axis: usize) -> usize {
        let shape = self.shape();
        *shape.get(axis).unwrap_or_else(|| panic!("no axis {axis} in a tensor of shape {shape:?}"))
    }

    /// The values, row-major; at most 65,536, f32 only. A guest that reads has no behaviour key (the host can't tell
    /// that two such guests do the same), so compute with tensors where that is possible.
    #[track_caller]
    pub fn read(&self) -> Vec<f32> {
        self.0.read()
    }

    /// The value of a tensor of one element. Counts as [`Tensor::read`].
    #[track_caller]
    pub fn item(&self) -> f32 {
        match self.read()[..] {
            [value] => value,
            _ => panic!("item() of a tensor of shape {:?}: it takes exactly one element", self.shape()),
        }
    }

    /// The same elements in another shape.
    #[track_caller]
    pub fn reshape(&self, shape: impl AsRef<[usize]>) -> Tensor {
        tensors::reshape(&self.0, &sizes(shape)).into()
    }

    /// Output axis i is input axis `axes[i]`.
    #[track_caller]
    pub fn permute(&self, axes: impl AsRef<[usize]>) -> Tensor {
        tensors::permute(&self.0, &sizes(axes)).into()
    }

    /// Two axes swapped.
    #[track_caller]
    pub fn transpose(&self, a: usize, b: usize) -> Tensor {
        let rank = self.shape().len();
        assert!(a < rank && b < rank, "transpose of axes {a} and {b} in a tensor of rank {rank}");
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.swap(a, b);
        self.permute(axes)
    }

    /// `len` positions of `axis` from `start`: [.., n, ..] → [.., len, ..].
    #[track_caller]
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Tensor {
        tensors::narrow(&self.0, size(axis), size(start), size(len)).into()
    }

    /// `parts` joined along `axis`; their other sizes are equal.
    #[track_caller]
    pub fn cat(parts: &[&Tensor], axis: usize) -> Tensor {
        let handles: Vec<&Handle> = parts.iter().map(|part| &*part.0).collect();
        tensors::cat(&handles, size(axis)).into()
    }

    /// Axes of size 1 repeated to the sizes of `shape`; leading axes may be added.
    #[track_caller]
    pub fn expand(&self, shape: impl AsRef<[usize]>) -> Tensor {
        tensors::expand(&self.0, &sizes(shape)).into()
    }

    /// The width divided among heads of `dim` each: [b, t, w] → [b, t, w/dim, dim].
    #[track_caller]
    pub fn heads(&self, dim: usize) -> Tensor {
        let shape = self.shape();
        match shape[..] {
            [batch, time, width] if dim > 0 && width % dim == 0 => self.reshape([batch, time, width / dim, dim]),
            _ => panic!("heads({dim}) of {shape:?}: it takes [batch, time, width], width a multiple of {dim}"),
        }
    }

    /// The heads side by side: [b, t, h, d] → [b, t, h·d].
    #[track_caller]
    pub fn merge_heads(&self) -> Tensor {
        let shape = self.shape();
        match shape[..] {
            [batch, time, heads, dim] => self.reshape([batch, time, heads * dim]),
            _ => panic!("merge_heads() of {shape:?}: it takes [batch, time, heads, dim]"),
        }
    }
}

/// State: tensors that can be changed in place are parameters, buffers and variables. No gradient flows through.
impl Tensor {
    /// An unnamed tensor that starts as a copy of this one and can be changed in place: an optimizer's moment. It is
    /// not part of the model.
    #[track_caller]
    pub fn variable(&self) -> Tensor {
        state::variable(&self.0).into()
    }

    /// self ← value
    #[track_caller]
    pub fn assign(&self, value: &Tensor) {
        tensors::assign(&self.0, &value.0);
    }

    /// self ← keep·self + scale·value
    #[track_caller]
    pub fn blend(&self, keep: f32, value: &Tensor, scale: f32) {
        tensors::blend(&self.0, keep, &value.0, scale);
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }
}
