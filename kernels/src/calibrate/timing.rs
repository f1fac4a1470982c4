//! Times one op at a time on an executor.

use super::cases::cases;
use crate::cost::{Class, Cost, Rules};
use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::infer::infer;
use crate::op::{Op, Record, TensorId};
use crate::spec::{DType, Shape, Spec, Values};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::time::Instant;

/// One op at one size, timed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The op and its operand shapes.
    pub case: String,
    /// What it costs.
    pub cost: Cost,
    /// Wall time of one execution in seconds.
    pub seconds: f64,
}

/// Rounds of one timing; the shortest is taken, because other programs can only slow it down.
const ROUNDS: usize = 7;
/// Executions queued together, as in a training step; fewer of a large op.
const QUEUED: usize = 8;
/// Operations of a round, of which moving a byte is 16, beyond which nothing more is queued.
const ROUND_FLOPS: u64 = 1 << 30;
/// Bytes of operands beyond which tables and optimizer states have left the cache when the next step comes to them …
const STAYS: u64 = 1 << 20;
/// … as they have after an op on these many elements.
const SWEEP: u32 = 16 << 20;

/// Times every case of at most so many operations, of which the largest has some thousand million: some ten seconds in
/// all.
pub fn measure(executor: &mut dyn Executor, rules: Rules, most_flops: u64) -> Result<Vec<Timing>, Fault> {
    let mut timings = Vec::new();
    for (op, inputs) in cases()? {
        let specs: Vec<&Spec> = inputs.iter().collect();
        if rules.cost(&op, &specs, &infer(&op, &specs)?)?.flops <= most_flops {
            timings.push(time(executor, rules, op, &inputs)?);
        }
    }
    Ok(timings)
}

/// Times one op on an executor that holds no tensors.
pub fn time(executor: &mut dyn Executor, rules: Rules, op: Op, inputs: &[Spec]) -> Result<Timing, Fault> {
    let mut run = Run { executor, ids: 0 };
    let waits_for = run.upload(&Spec::f32(Shape::scalar()), &Values::F32(vec![0.0]))?;
    let specs: Vec<&Spec> = inputs.iter().collect();
    let outputs = infer(&op, &specs)?;
    let below = indices(&op, inputs);
    let mut operands = SmallVec::<[TensorId; 4]>::new();
    for spec in inputs {
        operands.push(run.upload(spec, &values(spec, below))?);
    }
    let cost = rules.cost(&op, &specs, &outputs)?;
    let far = matches!(cost.class, Class::Gather | Class::Optimizer) && cost.bytes > STAYS;
    let queued =
        if far { 1 } else { (ROUND_FLOPS / cost.flops.max(16 * cost.bytes).max(1)).clamp(1, QUEUED as u64) as usize };
    let sweep = match far {
        true => {
            let spec = Spec::f32(Shape::new(&[SWEEP]).map_err(|source| Fault::Size { op: "calibrate", source })?);
            Some((run.upload(&spec, &Values::zeros(DType::F32, SWEEP as usize))?, spec))
        }
        false => None,
    };
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..=ROUNDS {
        if let Some((id, spec)) = &sweep {
            run.execute(&Op::Affine { mul: 2.0, add: 1.0 }, &[*id], std::slice::from_ref(spec), (1, waits_for))?;
        }
        rounds.push(run.execute(&op, &operands, &outputs, (queued, waits_for))? / queued as f64);
    }
    // The first round finds cold buffers.
    let seconds = rounds.into_iter().skip(1).fold(f64::INFINITY, f64::min);
    let mut frees: Vec<Step> =
        operands.into_iter().chain([waits_for]).chain(sweep.map(|(id, _)| id)).map(Step::Free).collect();
    run.executor.execute(&mut frees)?;
    let shapes: Vec<String> = inputs.iter().map(|spec| spec.shape.to_string()).collect();
    Ok(Timing { case: format!("{} {}", op.name(), shapes.join(" ")), cost, seconds })
}

/// An executor in use.
struct Run<'a> {
    executor: &'a mut dyn Executor,
    /// Tensors so far.
    ids: u64,
}

impl Run<'_> {
    fn id(&mut self) -> TensorId {
        self.ids += 1;
        TensorId(self.ids)
    }

    fn upload(&mut self, spec: &Spec, values: &Values) -> Result<TensorId, Fault> {
        let id = self.id();
        self.executor.upload(id, spec, values)?;
        Ok(id)
    }

    /// Executes the op `times` times and frees what it makes. Gives the seconds until it is done: a device beside the
    /// host may only be asked for a value then.
    fn execute(
        &mut self,
        op: &Op,
        inputs: &[TensorId],
        outputs: &[Spec],
        (times, waits_for): (usize, TensorId),
    ) -> Result<f64, Fault> {
        let mut steps = Vec::with_capacity(2 * times);
        for _ in 0..times {
            let made: SmallVec<[TensorId; 2]> = outputs.iter().map(|_| self.id()).collect();
            let record = Record { op: op.clone(), inputs: inputs.into(), outputs: made.clone(), data: None };
            steps.push(Step::Run { record, outputs: outputs.to_vec(), index: 0 });
            steps.extend(made.into_iter().map(Step::Free));
        }
        let started = Instant::now();
        self.executor.execute(&mut steps)?;
        self.executor.download(waits_for)?;
        Ok(started.elapsed().as_secs_f64())
    }
}

/// One more than the largest index that the op takes.
fn indices(op: &Op, inputs: &[Spec]) -> u32 {
    let size = |operand: usize, axis: usize| inputs.get(operand).and_then(|spec| spec.shape.dims().get(axis).copied());
    let last = |operand: usize| inputs.get(operand).map(|spec| spec.shape.last());
    let below = match op {
        Op::Embedding => size(0, 0),
        Op::EmbeddingGrad { rows } => Some(*rows),
        Op::Gather { axis } | Op::ScatterAdd { axis } => size(0, *axis as usize),
        Op::CrossEntropy(_) | Op::CrossEntropyGrad(_) => last(0),
        Op::LinearCrossEntropy { .. } => size(1, 0),
        _ => None,
    };
    below.unwrap_or(256).max(1)
}

/// Values without structure that no op minds: floats in [0.5, 1.5), and integers below `below`.
fn values(spec: &Spec, below: u32) -> Values {
    let count = spec.shape.elements();
    let scattered = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
    match spec.dtype {
        DType::F32 => Values::F32((0..count).map(|i| 0.5 + scattered(i) as f32 / (1 << 24) as f32).collect()),
        DType::U32 => Values::U32((0..count).map(|i| scattered(i) % below).collect()),
        other => Values::zeros(other, count as usize),
    }
}
