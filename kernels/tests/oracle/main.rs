//! Every op, one at a time, on random shapes: CPU kernels and candle against the f64 reference. Both executors get the
//! same f32 operands as the reference; [`tolerance`] says how near they must come.

mod fused;
mod order;
#[path = "../reference/mod.rs"]
mod reference;
mod training;

use candle_core::Device;
use candle_executor::CandleExecutor;
use kernels::cpu::CpuExecutor;
use kernels::exec::{Executor, Step};
use kernels::fault::Fault;
use kernels::infer::infer;
use kernels::op::{Binary, Op, Record, TensorId, Unary};
use kernels::spec::{DType, Shape, Spec, Values};
use reference::sample::{Sample, assert_close, operand};
use reference::session::RANDOM_SEED;
use reference::{Array, apply};
use std::sync::Arc;

const CASES: u64 = 16;

fn executors() -> [Box<dyn Executor>; 2] {
    [Box::new(CpuExecutor::new(2, RANDOM_SEED).unwrap()), Box::new(CandleExecutor::new(Device::Cpu, RANDOM_SEED))]
}

/// Largest |got − want| / (1 + |want|). Looser where f32 rounding is multiplied: through Newton–Schulz steps, which
/// push singular values apart; by the angles of rotary embedding; by 1/(softmax or softcap) of a saturated value.
fn tolerance(op: &Op) -> f64 {
    match op {
        Op::NewtonSchulz { .. } => 2e-3,
        Op::MatMul { .. } | Op::Attention(_) | Op::AttentionGrad(_) => 5e-5,
        Op::CrossEntropyGrad(_) | Op::SoftcapGrad { .. } | Op::Rope { .. } => 2e-5,
        Op::LayerNormGrad { .. } | Op::LinearCrossEntropy { .. } => 5e-5,
        _ => 1e-5,
    }
}

/// Runs one op on operands, and gives what it made or wrote.
fn run(
    executor: &mut dyn Executor,
    op: &Op,
    operands: &[(Spec, Values)],
    data: Option<Values>,
) -> Result<Vec<Values>, Fault> {
    let inputs: Vec<TensorId> = (0..operands.len() as u64).map(TensorId).collect();
    for (&id, (spec, values)) in inputs.iter().zip(operands) {
        executor.upload(id, spec, values)?;
    }
    let specs: Vec<&Spec> = operands.iter().map(|(spec, _)| spec).collect();
    let made = infer(op, &specs)?;
    let outputs: Vec<TensorId> = (100..).take(made.len()).map(TensorId).collect();
    let record = Record {
        op: op.clone(),
        inputs: inputs.iter().copied().collect(),
        outputs: outputs.iter().copied().collect(),
        data: data.map(Arc::new),
    };
    let mut steps = vec![Step::Run { record, outputs: made.into_vec(), index: 42 }];
    executor.execute(&mut steps)?;
    assert!(steps.is_empty());
    let written = op.written().iter().map(|&place| inputs[place]);
    outputs.into_iter().chain(written).map(|id| executor.download(id)).collect()
}

/// Compares both executors with the reference.
#[track_caller]
fn check(op: &Op, operands: &[Array]) {
    let operands: Vec<Array> = operands.iter().map(Array::rounded).collect();
    let want = apply(op, &operands);
    let given: Vec<(Spec, Values)> =
        operands.iter().enumerate().map(|(place, array)| operand(op, place, array)).collect();
    for mut executor in executors() {
        let class = executor.class();
        let specs: Vec<String> = given.iter().map(|(spec, _)| spec.to_string()).collect();
        let what = (class, op, specs);
        let got = run(executor.as_mut(), op, &given, None).unwrap_or_else(|fault| panic!("{what:?}: {fault}"));
        assert_eq!(got.len(), want.len(), "{what:?}: number of results");
        for (got, want) in got.iter().zip(&want) {
            assert_close(got, want, tolerance(op), &what);
        }
    }
}

/// Runs a test over numbered samples.
fn cases(test: impl Fn(&mut Sample)) {
    (0..CASES).for_each(|seed| test(&mut Sample::new(seed)));
}

fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims).unwrap()
}

#[test]
fn constants_and_counts() {
    check(&Op::Full { shape: shape(&[3, 1, 5]), value: -2.5 }, &[]);
    check(&Op::Full { shape: Shape::scalar(), value: 0.0 }, &[]);
    check(&Op::Arange { len: 37 }, &[]);
}

#[test]
fn values_that_come_with_the_record() {
    for mut executor in executors() {
        let mut given = |op: &Op, values: &Values| run(executor.as_mut(), op, &[], Some(values.clone())).unwrap();
        let floats = Values::F32(vec![1.5, -0.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(given(&Op::Constant { shape: shape(&[2, 3]), dtype: DType::F32 }, &floats), [floats]);
        let integers = Values::U32(vec![u32::MAX, 0, 7]);
        assert_eq!(given(&Op::Constant { shape: shape(&[3]), dtype: DType::U32 }, &integers), [integers]);
        let batch = Op::NextBatch { batch: 2, seq: 3, drawn: 9 };
        let made = given(&batch, &Values::U32((0..12).collect()));
        assert_eq!(made, [Values::U32((0..6).collect()), Values::U32((6..12).collect())]);
    }
}

#[test]
fn random_numbers_are_the_same_everywhere() {
    for position in [0, 1, 5, 1 << 40] {
        for count in [1, 3, 1001] {
            let shape = shape(&[count]);
            let ops = [
                Op::Uniform { shape: shape.clone(), low: -1.0, high: 3.0, stream: 2, position },
                Op::Normal { shape, mean: 0.5, std: 2.0, stream: 2, position },
            ];
            for op in ops {
                let [a, b] = executors().map(|mut executor| run(executor.as_mut(), &op, &[], None).unwrap());
                assert_eq!(a, b, "{op:?}");
            }
        }
    }
}

#[test]
fn changes_of_shape() {
    cases(|s| {
        let [a, b, c] = [0; 3].map(|_| s.size(1..=6));
        let x = s.around_zero(&[a, b, c], 2);
        check(&Op::Copy, std::slice::from_ref(&x));
        check(&Op::Reshape { shape: shape(&[b, a * c]) }, std::slice::from_ref(&x));
        for axes in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            check(&Op::Permute { axes: axes.into_iter().collect() }, std::slice::from_ref(&x));
        }
        for (axis, size) in (0..).zip([a, b, c]) {
            let start = s.size(0..=size - 1);
            check(&Op::Narrow { axis, start, len: s.size(1..=size - start) }, std::slice::from_ref(&x));
            check(&Op::Pad { axis, before: s.size(0..=3), after: s.size(0..=3) }, std::slice::from_ref(&x));
            let mut dims = [a, b, c];
            dims[axis as usize] = s.size(1..=4);
            let other = s.around_zero(&dims, 2);
            check(&Op::Cat { axis }, &[x.clone(), other, x.clone()]);
        }
        check(&Op::Cat { axis: 1 }, &[x]);
    });
}

#[test]
fn repeating_and_summing_back() {
    cases(|s| {
        let wide = s.dims(1..=5, 4);
        let gone = s.size(0..=wide.len() as u32) as usize;
        let narrow: Vec<u32> = wide[gone..].iter().map(|&size| if s.coin() { 1 } else { size }).collect();
        check(&Op::Expand { shape: shape(&wide) }, &[s.around_zero(&narrow, 2)]);
        check(&Op::SumTo { shape: shape(&narrow) }, &[s.around_zero(&wide, 2)]);
    });
}

#[test]
fn elementwise_functions_and_their_derivatives() {
    for f in Unary::ALL {
        cases(|s| {
            let dims = s.dims(0..=3, 7);
            let x = match f {
                Unary::Log | Unary::Sqrt | Unary::Rsqrt => s.positive(&dims),
                _ => s.around_zero(&dims, 4),
            };
            check(&Op::Unary(f), std::slice::from_ref(&x));
            let y = apply(&Op::Unary(f), std::slice::from_ref(&x)).swap_remove(0);
            let dy = s.around_zero(&dims, 2);
            check(&Op::UnaryGrad(f), &[x, y, dy]);
        });
    }
}

#[test]
fn derivatives_at_kinks() {
    let scalar = |value: f32| (Spec::f32(Shape::scalar()), Values::F32(vec![value]));
    for mut executor in executors() {
        for f in [Unary::Abs, Unary::Relu, Unary::ReluSquared] {
            let operands = [scalar(0.0), scalar(0.0), scalar(3.0)];
            let got = run(executor.as_mut(), &Op::UnaryGrad(f), &operands, None);
            assert_eq!(got, Ok(vec![Values::F32(vec![0.0])]), "{} {f:?}", executor.class());
        }
        for f in [Binary::Maximum, Binary::Minimum] {
            let operands = [scalar(1.0), scalar(1.0), scalar(3.0)];
            let got = run(executor.as_mut(), &Op::ChosenGrad(f), &operands, None);
            assert_eq!(got, Ok(vec![Values::F32(vec![3.0])]), "{} {f:?}", executor.class());
        }
    }
}

#[test]
fn binary_functions_broadcast() {
    for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Maximum, Binary::Minimum] {
        cases(|s| {
            let wide = s.dims(1..=4, 5);
            let narrow: Vec<u32> = wide.iter().map(|&size| if s.coin() { 1 } else { size }).collect();
            let gone = s.size(0..=wide.len() as u32) as usize;
            let a = s.around_zero(&narrow, 2);
            let b = s.positive(&wide[gone..]);
            check(&Op::Binary(f), &[a.clone(), b.clone()]);
            check(&Op::Binary(f), &[b, a]);
        });
    }
    for f in [Binary::Maximum, Binary::Minimum] {
        cases(|s| {
            let dims = s.dims(0..=3, 6);
            let [a, b, dy] = [0; 3].map(|_| s.around_zero(&dims, 2));
            check(&Op::ChosenGrad(f), &[a, b, dy]);
        });
        let pair = |a: f64, b: f64| Array { dims: vec![2], data: vec![a, b] };
        check(&Op::Binary(f), &[pair(f64::NAN, 1.0), pair(1.0, f64::NAN)]);
    }
}

#[test]
fn affine_and_softcap() {
    cases(|s| {
        let dims = s.dims(0..=4, 5);
        let (x, dy) = (s.around_zero(&dims, 4), s.around_zero(&dims, 2));
        check(&Op::Affine { mul: -0.7, add: 1.25 }, std::slice::from_ref(&x));
        let y = apply(&Op::Softcap { cap: 3.0 }, std::slice::from_ref(&x)).swap_remove(0);
        check(&Op::Softcap { cap: 3.0 }, &[x]);
        check(&Op::SoftcapGrad { cap: 3.0 }, &[y, dy]);
    });
}

#[test]
fn reductions() {
    cases(|s| {
        let dims = s.dims(0..=5, 5);
        let x = s.around_zero(&dims, 2);
        for chosen in 0..1u32 << dims.len() {
            let axes = || (0..dims.len() as u32).filter(|axis| chosen >> axis & 1 == 1).collect();
            for keep in [false, true] {
                check(&Op::Sum { axes: axes(), keep }, std::slice::from_ref(&x));
                check(&Op::Mean { axes: axes(), keep }, std::slice::from_ref(&x));
            }
        }
    });
}

#[test]
fn softmax_and_norm() {
    cases(|s| {
        let mut dims = s.dims(0..=3, 4);
        dims.push(s.size(1..=70));
        let (x, dy) = (s.around_zero(&dims, 4), s.around_zero(&dims, 1));
        let y = apply(&Op::Softmax, std::slice::from_ref(&x)).swap_remove(0);
        check(&Op::Softmax, std::slice::from_ref(&x));
        check(&Op::SoftmaxGrad, &[y, dy.clone()]);
        check(&Op::RmsNorm { eps: 1e-5 }, std::slice::from_ref(&x));
        check(&Op::RmsNormGrad { eps: 1e-5 }, &[x, dy]);
    });
}

#[test]
fn products_transposed_and_shared() {
    for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
        cases(|s| {
            let lead = s.dims(0..=3, 3);
            let [m, k, n] = [0; 3].map(|_| s.size(1..=20));
            let inner = if s.coin() { k } else { k + 300 };
            let a = if transpose_a { [inner, m] } else { [m, inner] };
            let b = if transpose_b { [n, inner] } else { [inner, n] };
            let b_lead = if s.coin() { &[] } else { lead.as_slice() };
            let op = Op::MatMul { transpose_a, transpose_b };
            check(&op, &[s.around_zero(&[&lead, &a[..]].concat(), 1), s.around_zero(&[b_lead, &b[..]].concat(), 1)]);
        });
    }
}

/// Strides of axes of size 1 mean nothing; no op may trip over what an earlier one left there.
#[test]
fn axes_of_size_one_after_expanding_and_permuting() {
    for mut executor in executors() {
        let one = Spec::f32(Shape::scalar());
        executor.upload(TensorId(0), &one, &Values::F32(vec![2.0])).unwrap();
        let ops =
            [Op::Expand { shape: shape(&[1, 1]) }, Op::Permute { axes: [1, 0].into_iter().collect() }, Op::Softmax];
        let mut spec = one;
        let mut steps = Vec::new();
        for (id, op) in (0..).zip(ops) {
            let outputs = infer(&op, &[&spec]).unwrap().into_vec();
            spec = outputs[0].clone();
            let (inputs, made) = ([TensorId(id)], [TensorId(id + 1)]);
            let record =
                Record { op, inputs: inputs.into_iter().collect(), outputs: made.into_iter().collect(), data: None };
            steps.push(Step::Run { record, outputs, index: id });
        }
        executor.execute(&mut steps).unwrap();
        assert_eq!(executor.download(TensorId(3)), Ok(Values::F32(vec![1.0])));
    }
}
