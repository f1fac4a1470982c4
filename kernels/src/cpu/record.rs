//! From records to nodes. An op may be another name for memory that exists, one node, or several. Imports `expand`,
//! `planner` and `split`.

use super::expand;
use super::node::{Tensor, Work};
use super::planner::{Planner, absent};
use super::split::{self, Split};
use crate::exec::Step;
use crate::fault::Fault;
use crate::op::{Op, Record, TensorId};
use crate::spec::{Spec, Values};
use smallvec::SmallVec;
use std::sync::Arc;

/// Adds a step.
pub fn step(planner: &mut Planner, step: Step) -> Result<(), Fault> {
    match step {
        Step::Run { record, outputs, index } => record_op(planner, record, &outputs, index),
        Step::Free(id) => {
            let tensor = planner.tensors.remove(&id).ok_or_else(|| absent(id))?;
            planner.memory.give(tensor.block);
            Ok(())
        }
    }
}

fn record_op(planner: &mut Planner, record: Record, outputs: &[Spec], index: u64) -> Result<(), Fault> {
    let inputs: SmallVec<[Tensor; 4]> = record
        .inputs
        .iter()
        .map(|id| planner.tensors.get(id).cloned().ok_or_else(|| absent(*id)))
        .collect::<Result<_, _>>()?;
    let Record { op, inputs: ids, outputs: made, data } = record;
    // Inference lets no other record pass.
    let fit = op.operands().check(inputs.iter().map(|x| x.spec.dtype));
    fit.map_err(|misfit| Fault::Executor(format!("{}: {misfit}", op.name())))?;
    match (&op, inputs.as_slice(), data) {
        (Op::Reshape { .. } | Op::Copy, [x], _) => planner.alias(made[0], outputs[0].clone(), x),
        (Op::Assign, [x, value], _) => planner.alias(ids[0], x.spec.clone(), value),
        (Op::Constant { .. } | Op::NextBatch { .. }, [], Some(values)) => {
            let mut from = 0;
            for (id, spec) in made.iter().zip(outputs) {
                given(planner, *id, spec, &values, from, index)?;
                from += spec.shape.elements() as usize;
            }
        }
        (Op::Blend { .. }, [_, value], _) => in_place(planner, op, &[ids[0]], value, index)?,
        (Op::AdamW(_), [_, grad, ..], _) => in_place(planner, op, &[ids[0], ids[2], ids[3]], grad, index)?,
        (Op::LinearCrossEntropy { .. }, [x, weight, targets], _) => {
            let made = planner.make(&made, outputs);
            expand::linear_loss(planner, op.clone(), [x, weight, targets], &made, index)?;
        }
        (Op::CrossEntropy(_), _, _) => expand::cross_entropy(planner, op, &inputs, &made, outputs, index)?,
        (&Op::Rope { base, inverse }, [x], _) => {
            let made = planner.make(&made, outputs);
            let split = planner.split(&op, std::slice::from_ref(x), &made);
            expand::rope(planner, (base, inverse), x, &made, split, index)?;
        }
        (Op::Attention(_) | Op::AttentionGrad(_), [q, k, ..], _) => {
            let made = planner.make(&made, outputs);
            match split::attention(&q.spec, &k.spec, planner.threads) {
                Some(cut) => expand::attention_by_groups(planner, op, &inputs, &made, cut, index)?,
                None => planner.op(op, &inputs, &made, index)?,
            }
        }
        // Any other op is one node.
        _ => {
            let made = planner.make(&made, outputs);
            planner.op(op, &inputs, &made, index)?;
        }
    }
    Ok(())
}

fn given(
    planner: &mut Planner,
    id: TensorId,
    spec: &Spec,
    values: &Arc<Values>,
    from: usize,
    index: u64,
) -> Result<(), Fault> {
    check(spec, values, from)?;
    let made = planner.make(&[id], std::slice::from_ref(spec));
    planner.node(Work::Values(values.clone(), from), &[], &made, Split::whole(0, 1), index);
    Ok(())
}

/// An op that writes tensors in place. Tensors that share a written block keep the old values.
fn in_place(planner: &mut Planner, op: Op, written: &[TensorId], read: &Tensor, index: u64) -> Result<(), Fault> {
    let mut outputs = SmallVec::<[Tensor; 3]>::new();
    for id in written {
        let tensor = planner.tensors.get(id).cloned().ok_or_else(|| absent(*id))?;
        if planner.memory.is_sole(tensor.block) {
            outputs.push(tensor);
            continue;
        }
        let made = planner.make(&[*id], std::slice::from_ref(&tensor.spec));
        planner.op(Op::Copy, std::slice::from_ref(&tensor), &made, index)?;
        outputs.extend(made);
    }
    planner.op(op, std::slice::from_ref(read), &outputs, index)
}

/// Checks that the values from an index on fill the tensor.
pub fn check(spec: &Spec, values: &Values, from: usize) -> Result<(), Fault> {
    let enough = values.len().saturating_sub(from) as u64 >= spec.shape.elements();
    if values.dtype() == spec.dtype && enough {
        return Ok(());
    }
    Err(Fault::Executor(format!("the values given do not fill a tensor {spec}")))
}
