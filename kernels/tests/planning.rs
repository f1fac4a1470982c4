//! Operations large enough to be cut give the same bits whole and in parts, on any number of threads.

mod common;

use common::{indices, run, values};
use kernels::cpu::path::Path;
use kernels::cpu::{CpuExecutor, Planning};
use kernels::op::{AdamW, Attention, Binary, Loss, Op, Unary};
use kernels::spec::{Shape, Spec, Values};
use smallvec::smallvec;

type Operands = Vec<(Spec, Values)>;

fn bits(all: &[Values]) -> Vec<u32> {
    let each = all.iter().map(|values| match values {
        Values::F32(v) => v.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
        other => panic!("{other:?} is not f32"),
    });
    each.flatten().collect()
}

/// Planned on 1, 2, 3 and 8 threads against whole ops on one.
fn same_in_parts(op: Op, operands: &[(Spec, Values)]) {
    let executor = |threads| CpuExecutor::with_path(threads, 1, Path::detect()).unwrap();
    let whole = run(&mut executor(1).planning(Planning::Off), &op, operands).unwrap();
    for threads in [1, 2, 3, 8] {
        let parts = run(&mut executor(threads), &op, operands).unwrap();
        assert!(bits(&parts) == bits(&whole), "{op:?} of {:?} on {threads} threads", operands[0].0);
    }
}

fn operands(dims: &[&[u32]]) -> Operands {
    dims.iter().zip(1..).map(|(dims, salt)| values(dims, salt)).collect()
}

#[test]
fn rows_and_elements() {
    let shape = Shape::new(&[17, 13, 200]).unwrap();
    let one = |op| same_in_parts(op, &operands(&[&[17, 13, 200]]));
    one(Op::RmsNorm { eps: 1e-6 });
    one(Op::Softmax);
    one(Op::Unary(Unary::Gelu));
    one(Op::Permute { axes: smallvec![0, 2, 1] });
    one(Op::Sum { axes: smallvec![1], keep: false });
    one(Op::Sum { axes: smallvec![0], keep: false });
    // One row, whose first axis is the row itself.
    same_in_parts(Op::RmsNorm { eps: 1e-6 }, &operands(&[&[20_000]]));
    same_in_parts(Op::Softmax, &operands(&[&[16_384]]));
    same_in_parts(Op::Rope { base: 100.0, inverse: true }, &operands(&[&[3, 50, 8, 24]]));
    same_in_parts(Op::Normal { shape, mean: 0.0, std: 1.0, stream: 3, position: 5 }, &[]);
    same_in_parts(Op::Binary(Binary::Mul), &operands(&[&[17, 13, 200], &[17, 13, 1]]));
    same_in_parts(Op::Binary(Binary::Sub), &operands(&[&[17, 13, 200], &[200]]));
    // One element of more axes than a part has.
    same_in_parts(Op::Binary(Binary::Pow), &operands(&[&[17, 13, 200], &[1, 1]]));
    same_in_parts(Op::Binary(Binary::Add), &operands(&[&[1, 1, 1], &[17, 13, 200]]));
    let step = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, step: 3 };
    let mut state = operands(&[&[300, 101], &[300, 101], &[300, 101], &[300, 101]]);
    if let Values::F32(v) = &mut state[3].1 {
        v.iter_mut().for_each(|x| *x = x.abs());
    }
    same_in_parts(Op::AdamW(step), &state);
}

#[test]
fn products() {
    let product = |transpose_a, transpose_b| Op::MatMul { transpose_a, transpose_b };
    same_in_parts(product(false, true), &operands(&[&[9, 67, 300], &[130, 300]]));
    same_in_parts(product(false, false), &operands(&[&[700, 300], &[300, 70]]));
    same_in_parts(product(true, false), &operands(&[&[800, 530], &[800, 440]]));
    same_in_parts(product(true, true), &operands(&[&[12, 40, 50], &[12, 30, 40]]));
    same_in_parts(Op::NewtonSchulz { coefficients: vec![[3.4, -4.7, 2.0]; 3] }, &operands(&[&[4, 70, 90]]));
}

#[test]
fn attention_of_small_and_large_batches() {
    for (batch, causal, window) in [(1, true, 0), (1, false, 30), (3, true, 70), (17, true, 0)] {
        let how = Attention { causal, window, scale: 0.3 };
        let (q, k): (&[u32], &[u32]) = (&[batch, 150, 6, 20], &[batch, 150, 3, 20]);
        let mut all = operands(&[q, k, k]);
        same_in_parts(Op::Attention(how), &all);
        let mut executor = CpuExecutor::new(2, 1).unwrap();
        let made = run(&mut executor, &Op::Attention(how), &all).unwrap();
        let lse = Spec::f32(Shape::new(&[batch, 6, 150]).unwrap());
        all.extend([all[0].0.clone(), lse].into_iter().zip(made));
        all.push(values(q, 9));
        same_in_parts(Op::AttentionGrad(how), &all);
    }
}

#[test]
fn losses_and_tables() {
    let loss = Loss { softcap: 5.0, z_loss: 0.01 };
    let mut all = operands(&[&[10, 60, 40], &[500, 40]]);
    all.push(indices(&[10, 60], 500));
    for gradients in [false, true] {
        same_in_parts(Op::LinearCrossEntropy { loss, gradients }, &all);
    }
    let logits = vec![values(&[600, 50], 3), indices(&[600], 50)];
    same_in_parts(Op::CrossEntropy(loss), &logits);
    same_in_parts(Op::EmbeddingGrad { rows: 500 }, &[indices(&[10, 60], 500), values(&[10, 60, 40], 4)]);
}
