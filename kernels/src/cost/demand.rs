//! What an op demands of the device.

use crate::fault::Fault;
use crate::op::{Class, Op};
use crate::spec::Spec;

/// Demands of an op on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Whose rates apply.
    pub class: Class,
    /// Floating-point operations, for reports: a product of m×k and k×n has 2·m·k·n.
    pub flops: u64,
    /// Work that is priced.
    pub work: u64,
    /// Bytes read and written.
    pub bytes: u64,
    /// Reads and writes at places that an index names, …
    pub jumps: u64,
    /// … and the bytes of what they lie in.
    pub span: u64,
}

/// The demand is unknown: inference lets no such operands pass.
pub(super) fn unpriced(op: &Op, reason: String) -> Fault {
    Fault::Executor(format!("the price of {}: {reason}", op.name()))
}

pub(super) fn last_two(op: &Op, spec: &Spec) -> Result<[u64; 2], Fault> {
    match spec.shape.dims() {
        [.., rows, columns] => Ok([u64::from(*rows), u64::from(*columns)]),
        _ => Err(unpriced(op, format!("{spec} is not a matrix"))),
    }
}
