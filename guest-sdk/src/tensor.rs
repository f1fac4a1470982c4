//! The tensor: a shared handle to values in the host. Creation, reading, casts and in-place changes; what is computed
//! with tensors is in `shape`, `math`, `reduce`, `index` and `nn`.

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

    /// Uniform in [low, high), f32; the experiment's random seed decides the values. Cost: random.
    #[track_caller]
    pub fn uniform(shape: impl AsRef<[usize]>, low: f32, high: f32) -> Tensor {
        tensors::uniform(0, &sizes(shape), low, high).into()
    }

    /// Normal, f32; the experiment's random seed decides the values. Cost: random.
    #[track_caller]
    pub fn normal(shape: impl AsRef<[usize]>, mean: f32, std: f32) -> Tensor {
        tensors::normal(0, &sizes(shape), mean, std).into()
    }

    /// A random matrix [rows, cols] with orthonormal rows or columns, whichever are fewer: the polar factor of a normal
    /// one. The experiment's random seed decides the values. Cost: random, and 24 steps of Newton–Schulz.
    #[track_caller]
    pub fn orthogonal(rows: usize, cols: usize) -> Tensor {
        // Twelve steps bring every singular value near 1, the cubic ones then exactly there.
        let mut coefficients = [(3.4445, -4.7750, 2.0315); 24];
        coefficients[12..].fill((1.5, -0.5, 0.0));
        let normal = Tensor::normal([rows, cols], 0.0, 1.0);
        tensors::newton_schulz(normal.handle(), &coefficients).into()
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
        let shape = self.shape();
        *shape.get(axis).unwrap_or_else(|| panic!("no axis {axis} in a tensor of shape {shape:?}"))
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

    /// The values, row-major; at most 65,536, f32 only. A guest that reads has no behaviour key (the host can't tell
    /// that two such guests do the same), so compute with tensors where that is possible. Cost: copy.
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
}

/// State: tensors that can be changed in place are parameters, buffers and variables. No gradient flows through.
impl Tensor {
    /// An unnamed tensor that starts as a copy of this one and can be changed in place: an optimizer's moment. It is
    /// not part of the model. Cost: copy.
    #[track_caller]
    pub fn variable(&self) -> Tensor {
        state::variable(&self.0).into()
    }

    /// self ← value. Cost: optimizer.
    #[track_caller]
    pub fn assign(&self, value: &Tensor) {
        tensors::assign(&self.0, &value.0);
    }

    /// self ← keep·self + scale·value. Cost: optimizer.
    #[track_caller]
    pub fn blend(&self, keep: f32, value: &Tensor, scale: f32) {
        tensors::blend(&self.0, keep, &value.0, scale);
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.0
    }
}
