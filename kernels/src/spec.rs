//! Shapes and dtypes of tensors, with checked arithmetic.

use crate::named::named;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::fmt;

/// Most axes a tensor can have.
pub const MAX_RANK: usize = 6;
/// Most elements a tensor can have: element offsets fit in 31 bits on every platform.
pub const MAX_ELEMENTS: u64 = 1 << 31;

/// Hands a macro the table of element types: code, name in the contract.
#[macro_export]
macro_rules! dtypes {
    ($with:ident $($before:tt)*) => {
        $with! {
            $($before)* {
                /// IEEE 754 binary32: arithmetic is done in it.
                F32 = 0 "f32",
                /// Unsigned 32-bit integers: tokens and indices.
                U32 = 1 "u32",
                /// The upper half of binary32: storage, and operands of products.
                Bf16 = 2 "bf16",
                /// IEEE 754 binary16: storage, and operands of products.
                F16 = 3 "f16",
                /// Bytes.
                U8 = 4 "u8",
                /// Signed 64-bit integers.
                I64 = 5 "i64",
                /// 0 or 1 in a byte.
                Bool = 6 "bool",
            }
        }
    };
}

dtypes! { named
    /// Element type. The codes enter canonical encodings and never change.
    DType
}

impl DType {
    /// Bytes per element.
    pub const fn size(self) -> u64 {
        match self {
            DType::I64 => 8,
            DType::F32 | DType::U32 => 4,
            DType::Bf16 | DType::F16 => 2,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// Whether gradients can flow through it.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::Bf16 | DType::F16)
    }
}

/// Sizes of a tensor's axes, outermost first; each at least 1, at most [`MAX_RANK`] of them, at most
/// [`MAX_ELEMENTS`] elements. A scalar has none. Deserialising checks this too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Shape(SmallVec<[u32; 4]>);

/// Why a list of sizes is not a shape. Each case shows the list.
#[allow(missing_docs, reason = "each message says what its fields are")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// More than [`MAX_RANK`] axes.
    #[error("{sizes} has {axes} axes; at most {MAX_RANK} are allowed")]
    Rank { sizes: String, axes: usize },
    /// An axis of size 0.
    #[error("{sizes} has size 0 at axis {axis}; every size must be at least 1")]
    Zero {
        sizes: String,
        /// The first such axis.
        axis: usize,
    },
    /// More than [`MAX_ELEMENTS`] elements.
    #[error("{sizes} has more than 2^31 elements")]
    Elements { sizes: String },
}

/// Numbers of a list that a message shows: a guest may give any number of them.
const MAX_SHOWN: usize = 8;

/// Sizes or axes as messages show them: `[16,128,256]`, long lists cut.
pub fn listed(numbers: &[u32]) -> String {
    let mut shown: Vec<String> = numbers.iter().take(MAX_SHOWN).map(u32::to_string).collect();
    if let Some(more @ 1..) = numbers.len().checked_sub(MAX_SHOWN) {
        shown.push(format!("… {more} more"));
    }
    format!("[{}]", shown.join(","))
}

impl Shape {
    /// Checks rank, sizes and element count.
    pub fn new(dims: &[u32]) -> Result<Self, ShapeError> {
        if dims.len() > MAX_RANK {
            return Err(ShapeError::Rank { sizes: listed(dims), axes: dims.len() });
        }
        let mut elements = 1u64;
        for (axis, &size) in dims.iter().enumerate() {
            if size == 0 {
                return Err(ShapeError::Zero { sizes: listed(dims), axis });
            }
            let more = elements.checked_mul(u64::from(size)).filter(|&n| n <= MAX_ELEMENTS);
            elements = more.ok_or_else(|| ShapeError::Elements { sizes: listed(dims) })?;
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

    /// Size of the first axis; 1 for a scalar.
    pub fn first(&self) -> u32 {
        self.0.first().copied().unwrap_or(1)
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
        f.write_str(&listed(&self.0))
    }
}

/// Shape and dtype of a tensor.
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
            other => write!(f, "{} {}", self.shape, other.name()),
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
    /// Bits of bf16 elements.
    Bf16(Vec<u16>),
    /// Bits of f16 elements.
    F16(Vec<u16>),
    /// u8 elements.
    U8(Vec<u8>),
    /// i64 elements.
    I64(Vec<i64>),
    /// bool elements.
    Bool(Vec<bool>),
}

impl Values {
    /// An empty list of a dtype.
    pub fn none(dtype: DType) -> Self {
        Self::zeros(dtype, 0)
    }

    /// `count` zeros.
    pub fn zeros(dtype: DType, count: usize) -> Self {
        match dtype {
            DType::F32 => Self::F32(vec![0.0; count]),
            DType::U32 => Self::U32(vec![0; count]),
            DType::Bf16 => Self::Bf16(vec![0; count]),
            DType::F16 => Self::F16(vec![0; count]),
            DType::U8 => Self::U8(vec![0; count]),
            DType::I64 => Self::I64(vec![0; count]),
            DType::Bool => Self::Bool(vec![false; count]),
        }
    }

    /// Their type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::U32(_) => DType::U32,
            Self::Bf16(_) => DType::Bf16,
            Self::F16(_) => DType::F16,
            Self::U8(_) => DType::U8,
            Self::I64(_) => DType::I64,
            Self::Bool(_) => DType::Bool,
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::Bf16(v) | Self::F16(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether they fill a tensor of this spec.
    pub fn fill(&self, spec: &Spec) -> bool {
        self.dtype() == spec.dtype && self.len() as u64 == spec.shape.elements()
    }

    /// Appends each value's bytes, little-endian; a bool is 0 or 1.
    pub fn extend_le_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Self::F32(v) => out.extend(v.iter().flat_map(|x| x.to_bits().to_le_bytes())),
            Self::U32(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
            Self::Bf16(v) | Self::F16(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
            Self::U8(v) => out.extend_from_slice(v),
            Self::I64(v) => out.extend(v.iter().flat_map(|x| x.to_le_bytes())),
            Self::Bool(v) => out.extend(v.iter().map(|x| u8::from(*x))),
        }
    }
}
