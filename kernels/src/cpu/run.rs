//! Does one part of a node of the plan. Imports `dispatch` for whole ops, and the kernels of steps that are not ops.

use super::call::{Call, Machine};
use super::dispatch;
use super::gemm::{self, Factor, Packed, Sizes};
use super::linear_loss::{self, Operands};
use super::matrix::{Tile, View, last_two};
use super::node::{Node, Operand, Work};
use super::path::Path;
use super::views::{self, Input, Output};
use super::{cast, loss, rope, scratch};
use crate::fault::Fault;
use crate::op::Op;
use smallvec::SmallVec;

/// Does part `i` of a node.
///
/// # Safety
/// The nodes that the part waits for must be done, the part must be done once only, and the blocks must live. Then
/// nothing else writes what it reads or touches what it writes.
pub unsafe fn part(machine: &Machine, node: &Node, i: u32) -> Result<(), Fault> {
    let read = |x: &Operand| {
        let (spec, place) = x.part(node.cut, i)?;
        // SAFETY: the promise above.
        Ok(unsafe { Input::new(spec, place) })
    };
    let written = |y: &Operand| {
        let (spec, place) = y.part(node.cut, i)?;
        // SAFETY: the promise above.
        Ok(unsafe { Output::new(spec, place) })
    };
    let inputs = node.inputs.iter().map(read).collect::<Result<SmallVec<[Input; 6]>, Fault>>()?;
    let mut outputs = node.outputs.iter().map(written).collect::<Result<SmallVec<[Output; 4]>, Fault>>()?;
    let whole = node.outputs[0].spec.shape.elements();
    let call =
        Call { machine, index: node.index, start: node.cut.range(i, whole).start as usize, whole: whole as usize };
    match (&node.work, inputs.as_slice(), outputs.as_mut_slice()) {
        (Work::Op(op) | Work::AttentionGroups(op), inputs, outputs) => dispatch::op(&call, op, inputs, outputs),
        (Work::Pack { transposed }, [b], [packed]) => pack(machine.path, b, *transposed, packed),
        (Work::PackedProduct, [a, packed], [y]) => packed_product(machine.path, a, packed, y),
        (Work::RopeTable { base }, [], [table]) => {
            rope::table(*base, table.last(), table.f32());
            Ok(())
        }
        (Work::Rotate { inverse }, [x, table], [y]) => {
            let &[_, time, heads, dim] = x.dims() else { return Err(misfit(node)) };
            let sizes = [time, heads, dim].map(|size| size as usize);
            rope::rotate(machine.path, x.f32(), table.f32(), y.f32(), sizes, *inverse);
            Ok(())
        }
        (Work::LinearLoss { op, first, rows }, inputs, outputs) => {
            linear_loss(&call, op, *first, *rows, inputs, outputs)
        }
        (Work::LinearLossWeight { add }, [slopes, x], [dweight]) => {
            let first = call.start / x.last();
            linear_loss::weight(machine.path, slopes.f32(), x.f32(), x.last(), first, dweight.f32(), *add);
            Ok(())
        }
        (Work::MeanLoss, [losses], [y]) => {
            y.f32().fill(loss::mean(machine.path, losses.f32()));
            Ok(())
        }
        (Work::Values(values, from), [], [y]) => views::write(values, *from, y.elements()),
        _ => Err(misfit(node)),
    }
}

/// The plan gave a node other tensors than its work takes.
fn misfit(node: &Node) -> Fault {
    let (inputs, outputs) = (node.inputs.len(), node.outputs.len());
    Fault::Executor(format!("{:?} does not take {inputs} operands and {outputs} results of these shapes", node.work))
}

/// Some rows of a linear cross-entropy.
fn linear_loss(
    call: &Call,
    op: &Op,
    first: usize,
    rows: usize,
    inputs: &[Input],
    outputs: &mut [Output],
) -> Result<(), Fault> {
    let (Op::LinearCrossEntropy { loss, .. }, [x, targets, across, down @ ..], [losses, lse, logits, dx @ ..]) =
        (op, inputs, outputs)
    else {
        return Err(Fault::Executor(format!("{op:?} got other operands")));
    };
    call.in_range(op, targets.u32(), logits.dims()[1] as usize, first + call.start)?;
    let weight = [Some(across), down.first()].map(|w| w.map_or(&[][..], Input::f32));
    let operands = Operands { x: x.f32(), width: x.last(), targets: targets.u32(), weight, rows };
    let out = linear_loss::Results {
        losses: losses.f32(),
        logsumexp: lse.f32(),
        logits: logits.f32(),
        dx: dx.first_mut().map(Output::f32),
    };
    linear_loss::rows(call.machine.path, operands, *loss, out);
    Ok(())
}

/// A factor as the innermost loop of a product reads it.
fn pack(path: Path, b: &Input, transposed: bool, packed: &mut Output) -> Result<(), Fault> {
    let [rows, cols] = last_two(b.dims())?;
    let (k, n) = if transposed { (cols, rows) } else { (rows, cols) };
    let mut room = scratch::take();
    let b = View::dense(cast::to_f32(b.elements(), &mut room)?, cols, transposed);
    gemm::pack(path, b, k, n, packed.f32());
    scratch::give(room);
    Ok(())
}

/// A product whose second operand is packed.
fn packed_product(path: Path, a: &Input, packed: &Input, y: &mut Output) -> Result<(), Fault> {
    let (k, n) = (a.last(), y.last());
    let sizes = Sizes { m: y.f32().len() / n, n, k };
    let mut room = scratch::take();
    let a = View::dense(cast::to_f32(a.elements(), &mut room)?, k, false);
    let packed = Factor::Packed(Packed::new(packed.f32(), k));
    gemm::multiply(path, sizes, a, packed, &mut Tile::dense(y.f32(), n), false);
    scratch::give(room);
    Ok(())
}
