//! What an op demands of the device.

use crate::fault::Fault;
use crate::op::{Attention, Class, Op};
use crate::spec::Spec;
use serde::{Deserialize, Serialize};

/// Demands of an op on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

pub(super) fn operand<'a>(op: &Op, inputs: &[&'a Spec], place: usize) -> Result<&'a Spec, Fault> {
    inputs.get(place).copied().ok_or_else(|| unpriced(op, format!("operand {} is missing", place + 1)))
}

/// Elements of the result, or of what an op in place writes first.
pub(super) fn results(inputs: &[&Spec], outputs: &[Spec]) -> u64 {
    outputs.first().or(inputs.first().copied()).map_or(0, |spec| spec.shape.elements())
}

/// A product of `a`, transposed first where flagged, with a result of `out` elements: rows, terms of the sum, columns,
/// leading indices.
pub(super) fn factors(op: &Op, a: &Spec, out: u64, transpose_a: bool) -> Result<[u64; 4], Fault> {
    let [rows, inner] = last_two(op, a)?;
    let lead = a.shape.elements() / (rows * inner);
    let (rows, inner) = if transpose_a { (inner, rows) } else { (rows, inner) };
    Ok([rows, inner, out / (rows * lead), lead])
}

/// Sizes of an attention's queries: batch · heads, positions, channels.
pub(super) fn queries(op: &Op, q: &Spec) -> Result<[u64; 3], Fault> {
    match q.shape.dims() {
        &[batch, time, heads, dim] => Ok([u64::from(batch) * u64::from(heads), u64::from(time), u64::from(dim)]),
        _ => Err(unpriced(op, format!("{q} has other than 4 axes"))),
    }
}

/// The nearest positions that one position sees, itself included.
pub(super) fn reach(how: &Attention, time: u64) -> u64 {
    if how.window == 0 { time } else { u64::from(how.window).min(time) }
}

/// Pairs of positions that see each other.
pub(super) fn pairs(causal: bool, time: u64, reach: u64) -> u64 {
    // The first `reach` positions see 1, 2, … `reach`; the others `reach` each.
    let before = reach * (reach + 1) / 2 + (time - reach) * reach;
    if causal { before } else { 2 * before - time }
}
