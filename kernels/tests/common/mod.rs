//! Runs single ops on random operands, for the tests of executors.
#![allow(dead_code, reason = "each test binary uses its part")]

use kernels::exec::{Executor, Step};
use kernels::fault::Fault;
use kernels::infer::infer;
use kernels::op::{Op, Record, TensorId};
use kernels::spec::{Shape, Spec, Values};

/// Deterministic values in (−2, 2) that differ per `salt`.
pub fn values(dims: &[u32], salt: u64) -> (Spec, Values) {
    let shape = Shape::new(dims).unwrap();
    let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1 << 22) as f32) - 2.0
    };
    let all = (0..shape.elements()).map(|_| draw()).collect();
    (Spec::f32(shape), Values::F32(all))
}

/// Indices below `limit`.
pub fn indices(dims: &[u32], limit: u32) -> (Spec, Values) {
    let shape = Shape::new(dims).unwrap();
    let all = (0..shape.elements() as u32).map(|i| i.wrapping_mul(2_654_435_761) % limit).collect();
    (Spec::u32(shape), Values::U32(all))
}

/// What `op` makes of the operands, or leaves in those that it writes.
pub fn run(executor: &mut dyn Executor, op: &Op, inputs: &[(Spec, Values)]) -> Result<Vec<Values>, Fault> {
    let specs: Vec<&Spec> = inputs.iter().map(|(spec, _)| spec).collect();
    let outputs = infer(op, &specs)?.to_vec();
    let ids: Vec<TensorId> = (0..inputs.len() as u64).map(TensorId).collect();
    for (id, (spec, values)) in ids.iter().zip(inputs) {
        executor.upload(*id, spec, values)?;
    }
    let made: Vec<TensorId> = (100..100 + outputs.len() as u64).map(TensorId).collect();
    let record = Record {
        op: op.clone(),
        inputs: ids.iter().copied().collect(),
        outputs: made.iter().copied().collect(),
        data: None,
    };
    executor.execute(&mut vec![Step::Run { record, outputs, index: 0 }])?;
    let written = op.written().iter().map(|i| ids[*i]);
    written.chain(made).map(|id| executor.download(id)).collect()
}
