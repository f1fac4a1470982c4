//! Shapes and dtypes of tensors, with checked arithmetic. Depends on nothing else in the crate.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::fmt;

/// Most axes a tensor can have.
pub const MAX_RANK: usize = 6;
/// Most elements a tensor can have: element offsets fit in 31 bits on every platform.
pub const MAX_ELEMENTS: u64 = 1 << 31;

/// Element type. The discriminants enter canonical encodings and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum DType {
    /// IEEE 754 binary32.
    F32 = 0,
    /// Unsigned 32-bit integers: tokens and indices.
    U32 = 1,
}

impl DType {
    /// Bytes per element.
    pub const fn size(self) -> u64 {
        4
    }
}

/// Sizes of a tensor's axes, outermost first; each at least 1, at most [`MAX_RANK`] of them, at most
/// [`MAX_ELEMENTS`] elements. A scalar has none. Deserialising checks this too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Shape(SmallVec<[u32; 4]>);

/// Why a list of sizes is no shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// More than [`MAX_RANK`] axes.
    #[error("{0} axes; at most {MAX_RANK} are allowed")]
    Rank(usize),
    /// An axis of size 0.
    #[error("axis {0} has size 0; every size must be at least 1")]
    Zero(usize),
    /// More than [`MAX_ELEMENTS`] elements.
    #[error("more than 2^31 elements")]
    Elements,
}

impl Shape {
    /// Checks rank, sizes and element count.
    pub fn new(dims: &[u32]) -> Result<Self, ShapeError> {
        if dims.len() > MAX_RANK {
            return Err(ShapeError::Rank(dims.len()));
        }
        let mut elements = 1u64;
        for (axis, &size) in dims.iter().enumerate() {
            if size == 0 {
                return Err(ShapeError::Zero(axis));
            }
            elements =
                elements.checked_mul(u64::from(size)).filter(|&n| n <= MAX_ELEMENTS).ok_or(ShapeError::Elements)?;
        }
        Ok(Self(SmallVec::from_slice(dims)))
    }

    /// The shape of one element.
    pub fn scalar() -> Self {
        Self::default()
    }

    /// The sizes.
    pub fn dims(&self) -> &[u32] {
        &self.0
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.0.iter().map(|&d| u64::from(d)).product()
    }

    /// Size of the last axis; 1 for a scalar.
    pub fn last(&self) -> u32 {
        self.0.last().copied().unwrap_or(1)
    }
}

impl TryFrom<Vec<u32>> for Shape {
    type Error = ShapeError;

    fn try_from(dims: Vec<u32>) -> Result<Self, ShapeError> {
        Self::new(&dims)
    }
}

impl From<Shape> for Vec<u32> {
    fn from(shape: Shape) -> Self {
        shape.0.into_vec()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

/// What is known of a tensor without its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spec {
    /// Its sizes.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
}

impl Spec {
    /// An f32 tensor.
    pub fn f32(shape: Shape) -> Self {
        Self { shape, dtype: DType::F32 }
    }

    /// A u32 tensor.
    pub fn u32(shape: Shape) -> Self {
        Self { shape, dtype: DType::U32 }
    }

    /// Bytes of its elements.
    pub fn bytes(&self) -> u64 {
        self.shape.elements() * self.dtype.size()
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype {
            DType::F32 => write!(f, "{}", self.shape),
            DType::U32 => write!(f, "{} u32", self.shape),
        }
    }
}

/// Values on their way in or out of an executor, row-major.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// f32 elements.
    F32(Vec<f32>),
    /// u32 elements.
    U32(Vec<u32>),
}
