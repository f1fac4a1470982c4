//! The tensor: a shared handle to values in the host. Creation, reading, casts and in-place changes; random tensors are
//! in `random`, what is computed with tensors in `shape`, `math`, `reduce`, `index` and `nn`.

use crate::bindings::lab::train::{state, tensors};
use crate::rt::Handle;
use std::fmt;
use std::rc::Rc;

/// Element types: `F32`, `U32`, `Bf16`, `F16`, `U8`, `I64`, `Bool`. Arithmetic is done in f32 and in integers; bf16 and
/// f16 are for storage and as operands of products.
pub use crate::bindings::lab::train::tensors::Dtype as DType;

/// A tensor in the host. Cloning copies the handle, not the values; the host frees the values with the last clone.
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

/// Ends the run because `operation` was given an axis that the tensor does not have.
#[track_caller]
pub(crate) fn no_axis(operation: &str, axis: usize, shape: &[usize]) -> ! {
    panic!("{operation} of {shape:?}: axis {axis} does not exist; axes are counted from 0, there are {}", shape.len())
}

/// A size as the contract has it.
#[track_caller]
pub(crate) fn size(n: usize) -> u32 {
    match u32::try_from(n) {
        Ok(n) => n,
        Err(_) => panic!("{n} is too large for a size; at most {} is allowed", u32::MAX),
    }
}

#[track_caller]
pub(crate) fn sizes(list: impl AsRef<[usize]>) -> Vec<u32> {
    let mut sizes = Vec::new();
    for &n in list.as_ref() {
        sizes.push(size(n));
    }
    sizes
}

/// Creation.
impl Tensor {
    /// All elements `value`, f32. Cost: copy.
    #[track_caller]
    pub fn full(shape: impl AsRef<[usize]>, value: f32) -> Tensor {
        tensors::full(&sizes(shape), value).into()
    }

    /// All elements 0, f32. Cost: copy.
    #[track_caller]
    pub fn zeros(shape: impl AsRef<[usize]>) -> Tensor {
        Tensor::full(shape, 0.0)
    }

    /// All elements 1, f32. Cost: copy.
    #[track_caller]
    pub fn ones(shape: impl AsRef<[usize]>) -> Tensor {
        Tensor::full(shape, 1.0)
    }

    /// 0, 1, …, len − 1 as u32: `[len]`. Cost: copy.
    #[track_caller]
    pub fn arange(len: usize) -> Tensor {
        tensors::arange(size(len)).into()
    }

    /// The given f32 values, row-major. Cost: copy.
    #[track_caller]
    pub fn from_f32(shape: impl AsRef<[usize]>, values: &[f32]) -> Tensor {
        tensors::from_f32(&sizes(shape), values).into()
    }

    /// The given u32 values, row-major: indices. Cost: copy.
    #[track_caller]
    pub fn from_u32(shape: impl AsRef<[usize]>, values: &[u32]) -> Tensor {
        tensors::from_u32(&sizes(shape), values).into()
    }

    /// The given i64 values, row-major. Cost: copy.
    #[track_caller]
    pub fn from_i64(shape: impl AsRef<[usize]>, values: &[i64]) -> Tensor {
        tensors::from_i64(&sizes(shape), values).into()
    }
}

/// Values and dtypes.
impl Tensor {
    /// Sizes, outermost first; a scalar has none.
    pub fn shape(&self) -> Vec<usize> {
        self.0.shape().into_iter().map(|n| n as usize).collect()
    }

    /// The size of one axis.
    #[track_caller]
    pub fn size(&self, axis: usize) -> usize {
        self.size_for("size", axis)
    }

    /// The size of the axis that `operation` was given.
    #[track_caller]
    pub(crate) fn size_for(&self, operation: &str, axis: usize) -> usize {
        let shape = self.shape();
        match shape.get(axis) {
            Some(&size) => size,
            None => no_axis(operation, axis, &shape),
        }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype()
    }

    /// The nearest values of another dtype. To floats: ties to even, beyond the range infinite. Float to integer:
    /// towards zero, beyond the range its end, NaN gives 0. Integer to integer: the low bits. To bool: x ≠ 0. Gradients
    /// flow between floats. Cost: elementwise.
    #[track_caller]
    pub fn cast(&self, to: DType) -> Tensor {
        tensors::cast(&self.0, to).into()
    }

    /// The values, row-major; at most 65,536 of one tensor and 2²⁴ of a run, f32 only. In the dry run that comes before
    /// every run nothing is computed and all are 0: never assert on what was read, and never take an index, a size or a
    /// number of steps from it that 0 would make wrong. A guest that reads has no behaviour key (the host can't tell
    /// that two such guests do the same), so compute with tensors where that is possible. Cost: copy.
    #[track_caller]
    pub fn read(&self) -> Vec<f32> {
        self.0.read()
    }

    /// The value of a tensor of one element, f32; 0 in the dry run. Otherwise as [`Tensor::read`]. Cost: copy.
    #[track_caller]
    pub fn item(&self) -> f32 {
        match self.read()[..] {
            [value] => value,
            _ => panic!("item() of a tensor of shape {:?}: it takes exactly one element", self.shape()),
        }
    }
}

/// State: tensors that can be changed in place are parameters, buffers and variables. No gradient flows through.
impl Tensor {
    /// An unnamed tensor that starts as a copy of this one and can be changed in place: an optimizer's moment. It is
    /// not part of the model. Cost: copy.
    #[track_caller]
    pub fn variable(&self) -> Tensor {
        state::variable(&self.0).into()
    }

    /// self ← value, of this tensor's shape and dtype. Cost: optimizer.
    #[track_caller]
    pub fn assign(&self, value: &Tensor) {
        tensors::assign(&self.0, &value.0);
    }

    /// self ← keep·self + scale·value, of this tensor's shape, both f32. Cost: optimizer.
    #[track_caller]
    pub fn blend(&self, keep: f32, value: &Tensor, scale: f32) {
        tensors::blend(&self.0, keep, &value.0, scale);
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }
}
