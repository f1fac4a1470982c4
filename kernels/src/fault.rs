//! Mistakes that a guest can make in the tensor API, in words that help to mend them.

use crate::spec::ShapeError;

/// A fault of the guest, found at submission or at execution. `op` is the operation's name as the contract spells it.
#[allow(missing_docs, reason = "each message says what its fields are")]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Operand shapes that the op cannot take.
    #[error("{op} of {operands}: {reason}")]
    Shape {
        op: &'static str,
        /// Operand shapes, as in `[16,128,256] and [128,512]`.
        operands: String,
        reason: String,
    },
    /// A list of sizes that is not a shape.
    #[error("{op}: {source}")]
    Size { op: &'static str, source: ShapeError },
    /// A handle that was dropped, or belongs to something else.
    #[error("{op}: the tensor was dropped")]
    Dropped { op: &'static str },
    /// A scalar operand, name, index or use that is not allowed.
    #[error("{op}: {reason}")]
    Misuse { op: &'static str, reason: String },
    /// A graph that needs a value from before an in-place update, or that was freed.
    #[error("{op}: {reason}")]
    StaleGraph { op: &'static str, reason: String },
    /// An op that has no gradient stands between loss and parameter.
    #[error("backward: {op} has no gradient")]
    NoGradient { op: &'static str },
    /// Live tensor bytes would exceed the limit.
    #[error("{op}: {live} live tensor bytes and {wanted} more exceed the limit of {limit}")]
    TensorLimit { op: &'static str, live: u64, wanted: u64, limit: u64 },
    /// A device has no memory left, which says nothing about the guest.
    #[error(
        "the device has no room for {wanted} bytes beside the {held} that this run holds; other programs may use it"
    )]
    NoRoom { wanted: u64, held: u64 },
    /// Too many tensors or ops.
    #[error("{op}: more than {limit} {what}")]
    CountLimit {
        op: &'static str,
        /// "live tensors" or "operations".
        what: &'static str,
        limit: u64,
    },
    /// The budget and its overdraft are used up.
    #[error("{op}: the budget and its overdraft of 1% are used up")]
    BudgetExceeded { op: &'static str },
    /// An operation that evaluation does not allow.
    #[error("{op} is not allowed in forward: evaluation has no data, gradients, randomness or changes of state")]
    Evaluation { op: &'static str },
    /// A value found at execution, such as an index beyond its table.
    #[error("{op} (op {index}): {reason}")]
    Execution {
        op: &'static str,
        /// Index of the record in the op stream.
        index: u64,
        reason: String,
    },
    /// The logged loss is NaN or infinite.
    #[error("the loss of step {step} is {value}: training has diverged; lower the rates, or bound what grows")]
    Diverged {
        step: u64,
        /// NaN or infinite.
        value: f64,
    },
    /// The executor itself failed: never the guest's fault.
    #[error("executor: {0}")]
    Executor(String),
}
