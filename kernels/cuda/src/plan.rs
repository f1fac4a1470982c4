//! What an op is made of: launches of kernels, products and copies, in order.

use kernels::spec::DType;

/// Threads of a block, of every kernel.
pub const BLOCK: u32 = 256;

/// Memory that a step reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Buffer {
    /// An operand of the op.
    Input(usize),
    /// A result.
    Output(usize),
    /// What the plan needs for itself.
    Scratch(usize),
    /// A u32, `u32::MAX` before the op: after it the least position of an index that is out of range.
    Fault,
}

/// A place in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The buffer.
    pub buffer: Buffer,
    /// Bytes from its beginning.
    pub start: u64,
}

/// An argument of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The address of a place.
    Pointer(Place),
    /// A value by its bytes, little-endian, a struct as its fields in order.
    Value(Vec<u8>),
}

/// One launch. Blocks have [`BLOCK`] threads and no dynamic shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: String,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Arguments, in order.
    pub arguments: Vec<Argument>,
}

/// c = a′·b′ for each of a batch, in row-major order, where ′ is the flagged transpose: a′ [m, k], b′ [k, n], c [m, n].
/// Factors are of one dtype, c and the sums are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// The first factor.
    pub a: Place,
    /// The second factor.
    pub b: Place,
    /// The result, in f32.
    pub c: Place,
    /// Of both factors: f32, bf16 or f16.
    pub dtype: DType,
    /// Products; their factors and results follow each other.
    pub batch: u32,
    /// Rows of c.
    pub m: u32,
    /// Columns of c.
    pub n: u32,
    /// Terms of a sum.
    pub k: u32,
    /// Whether a is stored as [k, m].
    pub transpose_a: bool,
    /// Whether b is stored as [n, k].
    pub transpose_b: bool,
    /// Whether one b serves the batch.
    pub shared_b: bool,
    /// Whether it is added to c.
    pub add: bool,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A kernel of this crate.
    Launch(Launch),
    /// A matrix product, by a library.
    Product(Product),
    /// Bytes that go to another place.
    Copy {
        /// Where they are.
        from: Place,
        /// Where they go.
        to: Place,
        /// How many.
        bytes: u64,
    },
}

/// The steps of an op, to be done in order, and the memory that they need beside its operands and results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// Bytes of each scratch buffer. They may hold anything at first.
    pub scratch: Vec<u64>,
    /// The scratch buffer that the first step makes of values alone: for the same step it is the same, and can be kept.
    pub kept: Option<usize>,
    /// The operand whose indices are checked into [`Buffer::Fault`], and what they have to be below.
    pub checked: Option<(usize, u32)>,
}

impl Place {
    /// The same, so many bytes on.
    pub fn after(self, bytes: u64) -> Self {
        Self { start: self.start + bytes, ..self }
    }
}

impl From<Buffer> for Place {
    fn from(buffer: Buffer) -> Self {
        Self { buffer, start: 0 }
    }
}

impl From<Place> for Argument {
    fn from(place: Place) -> Self {
        Self::Pointer(place)
    }
}

impl From<Buffer> for Argument {
    fn from(buffer: Buffer) -> Self {
        Self::Pointer(buffer.into())
    }
}

/// Values by their bytes.
macro_rules! values {
    ($($type:ty),+) => {
        $(impl From<$type> for Argument {
            fn from(value: $type) -> Self {
                Self::Value(value.to_le_bytes().to_vec())
            }
        })+
    };
}
values!(u32, u64, f32);
