//! Times representative ops of every cost class on an executor: what a profile is fitted to, and what a machine is
//! compared by. Depends on `infer`, `cost` and `exec`.

use crate::cost::{self, Cost};
use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::infer::infer;
use crate::op::{AdamW, Attention, Binary, Loss, Op, Record, TensorId, Unary};
use crate::spec::{Shape, Spec, Values};
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

/// Executions per timing; the median is taken.
const ROUNDS: usize = 7;
/// Executions queued together, as in a training step.
const QUEUED: usize = 8;

/// Times every case: about two seconds in all.
pub fn measure(executor: &mut dyn Executor) -> Result<Vec<Timing>, Fault> {
    let mut ids = 0..;
    cases()?.into_iter().map(|(op, inputs)| time(executor, &mut ids, op, &inputs)).collect()
}

fn time(
    executor: &mut dyn Executor,
    ids: &mut impl Iterator<Item = u64>,
    op: Op,
    inputs: &[Spec],
) -> Result<Timing, Fault> {
    let mut next = || TensorId(ids.next().unwrap_or(u64::MAX));
    let specs: Vec<&Spec> = inputs.iter().collect();
    let outputs = infer(&op, &specs)?;
    let mut operands = SmallVec::<[TensorId; 4]>::new();
    for spec in inputs {
        let id = next();
        executor.upload(id, spec, &values(spec))?;
        operands.push(id);
    }
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..=ROUNDS {
        let mut steps = Vec::with_capacity(2 * QUEUED);
        for _ in 0..QUEUED {
            let made: SmallVec<[TensorId; 2]> = outputs.iter().map(|_| next()).collect();
            let record = Record { op: op.clone(), inputs: operands.clone(), outputs: made.clone(), data: None };
            steps.push(Step::Run { record, outputs: outputs.to_vec(), index: 0 });
            steps.extend(made.into_iter().map(Step::Free));
        }
        let started = Instant::now();
        executor.execute(&mut steps)?;
        rounds.push(started.elapsed().as_secs_f64() / QUEUED as f64);
    }
    // The first round finds cold buffers.
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    let mut frees: Vec<Step> = operands.into_iter().map(Step::Free).collect();
    executor.execute(&mut frees)?;
    let shapes: Vec<String> = inputs.iter().map(|spec| spec.shape.to_string()).collect();
    Ok(Timing {
        case: format!("{} {}", op.name(), shapes.join(" ")),
        cost: cost::cost(&op, &specs, &outputs),
        seconds: rounds[ROUNDS / 2],
    })
}

/// Values without structure that no op minds: in [0.5, 1.5), and indices below 256.
fn values(spec: &Spec) -> Values {
    let count = spec.shape.elements();
    let scattered = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
    match spec.dtype {
        crate::spec::DType::F32 => {
            Values::F32((0..count).map(|i| 0.5 + scattered(i) as f32 / (1 << 24) as f32).collect())
        }
        crate::spec::DType::U32 => Values::U32((0..count).map(|i| scattered(i) % 256).collect()),
        other => Values::zeros(other, count as usize),
    }
}

/// Sizes as a small model's training step has them.
fn cases() -> Result<Vec<(Op, Vec<Spec>)>, Fault> {
    let shape = |dims: &[u32]| Shape::new(dims).map_err(|source| Fault::Size { op: "calibrate", source });
    let f = |dims: &[u32]| shape(dims).map(Spec::f32);
    let u = |dims: &[u32]| shape(dims).map(Spec::u32);
    let product = |transpose_a, transpose_b| Op::MatMul { transpose_a, transpose_b };
    let how = Attention { causal: true, window: 0, scale: 0.18 };
    let orthogonal = || Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 5] };
    let heads = [16, 128, 4, 32];
    let mut cases = Vec::new();
    for width in [64, 128, 256] {
        cases.push((product(false, true), vec![f(&[2048, width])?, f(&[width, width])?]));
        cases.push((product(false, true), vec![f(&[2048, width])?, f(&[4 * width, width])?]));
        cases.push((product(true, false), vec![f(&[2048, width])?, f(&[2048, 4 * width])?]));
    }
    cases.push((product(false, false), vec![f(&[128, 128])?, f(&[128, 128])?]));
    cases.push((product(false, true), vec![f(&[2048, 32])?, f(&[4, 32])?]));
    cases.push((orthogonal(), vec![f(&[128, 128])?]));
    cases.push((orthogonal(), vec![f(&[128, 512])?]));
    cases.push((Op::Attention(how), vec![f(&heads)?, f(&heads)?, f(&heads)?]));
    cases.push((
        Op::AttentionGrad(how),
        vec![f(&heads)?, f(&heads)?, f(&heads)?, f(&heads)?, f(&[16, 4, 128])?, f(&heads)?],
    ));
    cases.push((Op::Binary(Binary::Add), vec![f(&[16, 128, 128])?, f(&[16, 128, 128])?]));
    cases.push((Op::Binary(Binary::Mul), vec![f(&[16, 128, 128])?, f(&[1])?]));
    cases.push((Op::Unary(Unary::ReluSquared), vec![f(&[16, 128, 512])?]));
    cases
        .push((Op::UnaryGrad(Unary::ReluSquared), vec![f(&[16, 128, 512])?, f(&[16, 128, 512])?, f(&[16, 128, 512])?]));
    cases.push((Op::Unary(Unary::Tanh), vec![f(&[16, 128, 256])?]));
    cases.push((Op::RmsNorm { eps: 1e-6 }, vec![f(&[16, 128, 128])?]));
    cases.push((Op::RmsNormGrad { eps: 1e-6 }, vec![f(&[16, 128, 128])?, f(&[16, 128, 128])?]));
    cases.push((Op::Rope { base: 1e4, inverse: false }, vec![f(&heads)?]));
    cases.push((Op::CrossEntropy(Loss::default()), vec![f(&[16, 128, 256])?, u(&[16, 128])?]));
    cases.push((
        Op::CrossEntropyGrad(Loss::default()),
        vec![f(&[16, 128, 256])?, u(&[16, 128])?, f(&[16, 128])?, f(&[])?],
    ));
    cases.push((Op::Embedding, vec![f(&[256, 128])?, u(&[16, 128])?]));
    cases.push((Op::EmbeddingGrad { rows: 256 }, vec![u(&[16, 128])?, f(&[16, 128, 128])?]));
    cases.push((Op::SumTo { shape: shape(&[1])? }, vec![f(&[16, 128, 128])?]));
    cases.push((Op::SumTo { shape: shape(&[16, 128, 4, 1])? }, vec![f(&heads)?]));
    cases.push((Op::Permute { axes: SmallVec::from_slice(&[0, 2, 1, 3]) }, vec![f(&heads)?]));
    cases.push((Op::Narrow { axis: 2, start: 0, len: 32 }, vec![f(&[16, 128, 128])?]));
    let how = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, step: 10 };
    cases.push((Op::AdamW(how), vec![f(&[256, 128])?, f(&[256, 128])?, f(&[256, 128])?, f(&[256, 128])?]));
    cases.push((Op::Blend { keep: 0.9, scale: 0.1 }, vec![f(&[512, 128])?, f(&[512, 128])?]));
    cases.push((Op::Normal { shape: shape(&[512, 128])?, mean: 0.0, std: 1.0, stream: 0, position: 0 }, vec![]));
    Ok(cases)
}
