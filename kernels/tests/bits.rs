//! Every op gives the same bits whatever the number of threads and the instruction set.

mod common;

use common::{indices, run, values};
use kernels::cpu::CpuExecutor;
use kernels::cpu::path::Path;
use kernels::op::{AdamW, Binary, Op, Unary};
use kernels::spec::{Shape, Spec, Values};
use smallvec::smallvec;

type Case = (Op, Vec<(Spec, Values)>);

/// The values' bits.
fn bits(values: &Values) -> Vec<u32> {
    match values {
        Values::F32(v) => v.iter().map(|x| x.to_bits()).collect(),
        Values::U32(v) => v.clone(),
    }
}

fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims).unwrap()
}

/// Each op once or more, on odd sizes that make more than one piece of work.
fn cases() -> Vec<Case> {
    let x = || values(&[3, 61, 129], 1);
    let y = || values(&[3, 61, 129], 2);
    let z = || values(&[3, 61, 129], 3);
    let mut cases: Vec<Case> = vec![
        (Op::Full { shape: shape(&[7]), value: 1.5 }, vec![]),
        (Op::Arange { len: 9 }, vec![]),
        (Op::Uniform { shape: shape(&[33_001]), low: -1.0, high: 2.0, stream: 1, position: 7 }, vec![]),
        (Op::Normal { shape: shape(&[33_001]), mean: 0.0, std: 1.0, stream: 2, position: 3 }, vec![]),
        (Op::Reshape { shape: shape(&[129, 183]) }, vec![x()]),
        (Op::Permute { axes: smallvec![2, 0, 1] }, vec![x()]),
        (Op::Narrow { axis: 1, start: 5, len: 40 }, vec![x()]),
        (Op::Pad { axis: 1, before: 2, after: 3 }, vec![x()]),
        (Op::Cat { axis: 1 }, vec![x(), values(&[3, 4, 129], 4)]),
        (Op::Expand { shape: shape(&[5, 61, 129]) }, vec![values(&[61, 1], 5)]),
        (Op::Affine { mul: 2.5, add: -1.0 }, vec![x()]),
        (Op::Softcap { cap: 1.5 }, vec![x()]),
        (Op::SoftcapGrad { cap: 1.5 }, vec![x(), y()]),
        (Op::Sum { axes: smallvec![0, 1, 2], keep: false }, vec![x()]),
        (Op::Sum { axes: smallvec![0, 2], keep: true }, vec![x()]),
        (Op::Mean { axes: smallvec![2], keep: false }, vec![x()]),
        (Op::SumTo { shape: shape(&[61, 1]) }, vec![x()]),
        (Op::SumTo { shape: shape(&[129]) }, vec![x()]),
        (Op::Softmax, vec![x()]),
        (Op::SoftmaxGrad, vec![x(), y()]),
        (Op::MatMul { transpose_a: false, transpose_b: false }, vec![values(&[131, 300], 1), values(&[300, 65], 2)]),
        (Op::MatMul { transpose_a: true, transpose_b: true }, vec![values(&[2, 70, 33], 1), values(&[2, 17, 70], 2)]),
        (Op::Embedding, vec![values(&[11, 35], 1), indices(&[3, 300], 11)]),
        (Op::EmbeddingGrad { rows: 11 }, vec![indices(&[3, 300], 11), values(&[3, 300, 35], 1)]),
        (Op::RmsNorm { eps: 1e-5 }, vec![x()]),
        (Op::RmsNormGrad { eps: 1e-5 }, vec![x(), y()]),
        (Op::Rope { base: 1e4, inverse: false }, vec![values(&[2, 70, 3, 8], 1)]),
        (Op::CrossEntropy { softcap: 15.0 }, vec![values(&[3, 61, 129], 1), indices(&[3, 61], 129)]),
        (
            Op::CrossEntropyGrad { softcap: 15.0 },
            vec![values(&[3, 61, 129], 1), indices(&[3, 61], 129), values(&[3, 61], 2), values(&[], 3)],
        ),
        (Op::NewtonSchulz { steps: 5 }, vec![values(&[2, 70, 33], 1)]),
        (Op::Assign, vec![x(), y()]),
        (Op::Blend { keep: 0.9, scale: 0.1 }, vec![x(), y()]),
        (Op::Copy, vec![x()]),
    ];
    let adam = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, step: 3 };
    let second = Values::F32(vec![0.5; 3 * 61 * 129]);
    cases.push((Op::AdamW(adam), vec![x(), y(), z(), (x().0, second)]));
    for f in Unary::ALL {
        cases.push((Op::Unary(f), vec![x()]));
        cases.push((Op::UnaryGrad(f), vec![x(), y(), z()]));
    }
    for f in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min] {
        cases.push((Op::Binary(f), vec![x(), y()]));
        cases.push((Op::Binary(f), vec![x(), values(&[61, 1], 5)]));
        cases.push((Op::Binary(f), vec![values(&[129], 6), x()]));
    }
    cases.push((Op::ChosenGrad(Binary::Max), vec![x(), y(), z()]));
    for window in [0, 5, 90] {
        let q = values(&[2, 131, 4, 8], 1);
        let kv = |salt| values(&[2, 131, 2, 8], salt);
        cases.push((Op::Attention { window, scale: 0.3 }, vec![q.clone(), kv(2), kv(3)]));
        let rest = [values(&[2, 131, 4, 8], 4), values(&[2, 4, 131], 5), values(&[2, 131, 4, 8], 6)];
        let inputs = [q, kv(2), kv(3)].into_iter().chain(rest).collect();
        cases.push((Op::AttentionGrad { window, scale: 0.3 }, inputs));
    }
    cases
}

#[test]
fn threads_and_instructions_never_show() {
    let mut plain = CpuExecutor::with_path(1, 42, Path::portable()).unwrap();
    let mut others: Vec<CpuExecutor> = [1, 2, 3, 8].map(|n| CpuExecutor::new(n, 42).unwrap()).into();
    for (op, inputs) in cases() {
        let want: Vec<_> = run(&mut plain, &op, &inputs).unwrap().iter().map(bits).collect();
        for other in &mut others {
            let got: Vec<_> = run(other, &op, &inputs).unwrap().iter().map(bits).collect();
            assert!(got == want, "{op:?}");
        }
    }
}
