//! Memory that an op needs for itself while it runs, beside its operands and results.

use crate::op::Op;
use crate::spec::Spec;

/// Rows of logits that a linear cross-entropy holds at a time.
pub const LOGIT_ROWS: u64 = 256;
/// Columns that a packed factor is rounded up to.
const PANEL: u64 = 16;
/// Bytes of an element.
const ELEMENT: u64 = 4;

/// Bytes on the executor of class `cpu-2` with one or two threads. What stays below a few percent of the operands is
/// left out: the packed factors of single products, the lines that blocks are rounded up to.
pub fn workspace(op: &Op, inputs: &[&Spec]) -> u64 {
    match op {
        Op::LinearCrossEntropy { gradients, .. } => {
            let (weight, targets) = (inputs[1], inputs[2]);
            let width = u64::from(weight.shape.last());
            let vocab = weight.shape.elements() / width;
            let rows = targets.shape.elements();
            // Packed as the factor of the logits, and as that of x's gradient.
            let across = width.saturating_mul(vocab.next_multiple_of(PANEL));
            let down = if *gradients { vocab.saturating_mul(width.next_multiple_of(PANEL)) } else { 0 };
            // One chunk is computed while the gradient of the one before it is added up.
            let logits = rows.min(2 * LOGIT_ROWS).saturating_mul(vocab);
            [across, down, logits, rows].into_iter().fold(0, u64::saturating_add).saturating_mul(ELEMENT)
        }
        // The others work in the tensors that they read and make.
        _ => 0,
    }
}
