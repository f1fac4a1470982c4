//! Mistakes that a guest can make in the tensor API, in words that help to mend them.

use crate::spec::ShapeError;

/// A fault of the guest, found at submission or at execution. `op` is the operation's name as the contract spells it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Operand shapes that the op cannot take.
    #[error("{op} of {operands}: {reason}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// Operand shapes, as in `[16,128,256] and [128,512]`.
        operands: String,
        /// The reason.
        reason: String,
    },
    /// A list of sizes that is not a shape.
    #[error("{op}: {source}")]
    Size {
        /// The operation.
        op: &'static str,
        /// The reason.
        source: ShapeError,
    },
    /// A handle that was dropped, or belongs to something else.
    #[error("{op}: the tensor was dropped")]
    Dropped {
        /// The operation.
        op: &'static str,
    },
    /// A scalar operand, name, index or use that is not allowed.
    #[error("{op}: {reason}")]
    Misuse {
        /// The operation.
        op: &'static str,
        /// The reason.
        reason: String,
    },
    /// A graph that needs a value from before an in-place update, or that was freed.
    #[error("{op}: {reason}")]
    StaleGraph {
        /// The operation.
        op: &'static str,
        /// The tensor and the reason.
        reason: String,
    },
    /// An op that has no gradient stands between loss and parameter.
    #[error("backward: {op} has no gradient")]
    NoGradient {
        /// The operation.
        op: &'static str,
    },
    /// Live tensor bytes would exceed the limit.
    #[error("{op}: {live} live tensor bytes and {wanted} more exceed the limit of {limit}")]
    TensorLimit {
        /// The operation.
        op: &'static str,
        /// Bytes alive.
        live: u64,
        /// Bytes wanted.
        wanted: u64,
        /// Limit.
        limit: u64,
    },
    /// Too many tensors or ops.
    #[error("{op}: more than {limit} {what}")]
    CountLimit {
        /// The operation.
        op: &'static str,
        /// "live tensors" or "operations".
        what: &'static str,
        /// Limit.
        limit: u64,
    },
    /// The budget and its overdraft are used up.
    #[error("{op}: the budget and its overdraft of 1% are used up")]
    BudgetExceeded {
        /// The operation.
        op: &'static str,
    },
    /// An operation that evaluation does not allow.
    #[error("{op} is not allowed in forward: evaluation has no data, gradients, randomness or changes of state")]
    Evaluation {
        /// The operation.
        op: &'static str,
    },
    /// A value found at execution, such as an index beyond its table.
    #[error("{op} (op {index}): {reason}")]
    Execution {
        /// The operation.
        op: &'static str,
        /// Index of the record in the op stream.
        index: u64,
        /// The reason.
        reason: String,
    },
    /// The logged loss is NaN or infinite.
    #[error("the loss of step {step} is {value}: training has diverged; lower the rates, or bound what grows")]
    Diverged {
        /// The step.
        step: u64,
        /// NaN or infinite.
        value: f64,
    },
    /// The executor itself failed: never the guest's fault.
    #[error("executor: {0}")]
    Executor(String),
}
