//! Times one op at a time on an executor.

use super::cases::cases;
use crate::cost::{self, Cost};
use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::infer::infer;
use crate::op::{Op, Record, TensorId};
use crate::spec::{DType, Spec, Values};
use smallvec::SmallVec;
use std::time::Instant;

/// One op at one size, timed.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The op and its operand shapes.
    pub case: String,
    /// What it costs.
    pub cost: Cost,
    /// Median wall time of one execution in seconds.
    pub seconds: f64,
}

/// Rounds of one timing; the median is taken.
const ROUNDS: usize = 7;
/// Executions queued together, as in a training step; fewer of a large op.
const QUEUED: usize = 8;
/// Operations of a round beyond which nothing more is queued.
const ROUND_FLOPS: u64 = 1 << 30;

/// Times every case: some ten seconds in all.
pub fn measure(executor: &mut dyn Executor) -> Result<Vec<Timing>, Fault> {
    cases()?.into_iter().map(|(op, inputs)| time(executor, op, &inputs)).collect()
}

/// Times one op on an executor that holds no tensors.
pub fn time(executor: &mut dyn Executor, op: Op, inputs: &[Spec]) -> Result<Timing, Fault> {
    let mut ids = (0..).map(TensorId);
    let mut next = || ids.next().ok_or_else(|| Fault::Executor("no ids are left".to_owned()));
    let specs: Vec<&Spec> = inputs.iter().collect();
    let outputs = infer(&op, &specs)?;
    let mut operands = SmallVec::<[TensorId; 4]>::new();
    for spec in inputs {
        let id = next()?;
        executor.upload(id, spec, &values(spec))?;
        operands.push(id);
    }
    let cost = cost::cost(&op, &specs, &outputs)?;
    let queued = (ROUND_FLOPS / cost.flops.max(1)).clamp(1, QUEUED as u64) as usize;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..=ROUNDS {
        let mut steps = Vec::with_capacity(2 * queued);
        for _ in 0..queued {
            let made = outputs.iter().map(|_| next()).collect::<Result<SmallVec<[TensorId; 2]>, Fault>>()?;
            let record = Record { op: op.clone(), inputs: operands.clone(), outputs: made.clone(), data: None };
            steps.push(Step::Run { record, outputs: outputs.to_vec(), index: 0 });
            steps.extend(made.into_iter().map(Step::Free));
        }
        let started = Instant::now();
        executor.execute(&mut steps)?;
        rounds.push(started.elapsed().as_secs_f64() / queued as f64);
    }
    // The first round finds cold buffers.
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    let mut frees: Vec<Step> = operands.into_iter().map(Step::Free).collect();
    executor.execute(&mut frees)?;
    let shapes: Vec<String> = inputs.iter().map(|spec| spec.shape.to_string()).collect();
    Ok(Timing { case: format!("{} {}", op.name(), shapes.join(" ")), cost, seconds: rounds[ROUNDS / 2] })
}

/// Values without structure that no op minds: in [0.5, 1.5), and indices below 256.
fn values(spec: &Spec) -> Values {
    let count = spec.shape.elements();
    let scattered = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
    match spec.dtype {
        DType::F32 => Values::F32((0..count).map(|i| 0.5 + scattered(i) as f32 / (1 << 24) as f32).collect()),
        DType::U32 => Values::U32((0..count).map(|i| scattered(i) % 256).collect()),
        other => Values::zeros(other, count as usize),
    }
}
