//! Indexing, the ops that executors fuse, and updates in place.

use super::reference::sample::{Sample, operand};
use super::reference::{Array, apply};
use super::{cases, check, executors, run, shape};
use kernels::fault::Fault;
use kernels::op::{AdamW, Attention, Loss, Op};
use kernels::spec::{Spec, Values};

#[test]
fn embedding_and_its_gradient() {
    cases(|s| {
        let (rows, width) = (s.size(1..=9), s.size(1..=9));
        let dims = s.dims(0..=3, 5);
        let indices = s.indices(&dims, rows);
        check(&Op::Embedding, &[s.around_zero(&[rows, width], 2), indices.clone()]);
        let dy = s.around_zero(&[dims.as_slice(), &[width]].concat(), 2);
        check(&Op::EmbeddingGrad { rows }, &[indices, dy]);
    });
}

#[test]
fn indices_beyond_their_table_are_faults() {
    let floats = |dims: &[u32]| {
        let shape = shape(dims);
        let values = Values::F32(vec![0.0; shape.elements() as usize]);
        (Spec::f32(shape), values)
    };
    let indices = |last: u32| (Spec::u32(shape(&[3])), Values::U32(vec![0, 1, last]));
    let loss = Op::CrossEntropy(Loss { softcap: 0.0, z_loss: 0.0 });
    let grad = Op::CrossEntropyGrad(Loss { softcap: 0.0, z_loss: 0.0 });
    let linear = Op::LinearCrossEntropy { loss: Loss::default(), gradients: true };
    for last in [5, u32::MAX] {
        let calls = [
            (Op::Embedding, vec![floats(&[5, 2]), indices(last)]),
            (Op::EmbeddingGrad { rows: 5 }, vec![indices(last), floats(&[3, 2])]),
            (loss.clone(), vec![floats(&[3, 5]), indices(last)]),
            (grad.clone(), vec![floats(&[3, 5]), indices(last), floats(&[3]), floats(&[])]),
            (linear.clone(), vec![floats(&[3, 2]), floats(&[5, 2]), indices(last)]),
            (Op::Gather { axis: 0 }, vec![floats(&[5]), indices(last)]),
            (Op::ScatterAdd { axis: 0 }, vec![floats(&[5]), indices(last), floats(&[3])]),
        ];
        for (op, operands) in calls {
            for mut executor in executors() {
                let fault = run(executor.as_mut(), &op, &operands, None);
                let class = executor.class();
                let reason = format!("index {last} at position 2 is not below 5");
                let wanted = Fault::Execution { op: op.name(), index: 42, reason };
                assert_eq!(fault, Err(wanted), "{class}");
            }
        }
    }
}

#[test]
fn rope_both_ways() {
    cases(|s| {
        let dims = [s.size(1..=3), s.size(1..=40), s.size(1..=3), 2 * s.size(1..=8)];
        let x = s.around_zero(&dims, 2);
        for inverse in [false, true] {
            check(&Op::Rope { base: 10_000.0, inverse }, std::slice::from_ref(&x));
        }
    });
}

#[test]
fn attention_and_its_gradient() {
    cases(|s| {
        let (batch, time, dim) = (s.size(1..=2), s.size(1..=9), s.size(1..=5));
        let groups = s.size(1..=2);
        let heads = groups * s.size(1..=3);
        let (window, scale) = (s.size(0..=time), 0.4);
        let q = s.around_zero(&[batch, time, heads, dim], 1);
        let [k, v] = [0; 2].map(|_| s.around_zero(&[batch, time, groups, dim], 1));
        let dy = s.around_zero(&[batch, time, heads, dim], 1);
        let how = Attention { causal: s.coin(), window, scale };
        check_attention(how, [q, k, v], Some(dy));
    });
}

#[test]
fn attention_over_many_blocks() {
    let mut s = Sample::new(0);
    for (time, window) in [(130, 0), (130, 65), (97, 1), (70, 64)] {
        let q = s.around_zero(&[1, time, 2, 8], 2);
        let [k, v] = [0; 2].map(|_| s.around_zero(&[1, time, 1, 8], 2));
        for causal in [true, false] {
            check_attention(Attention { causal, window, scale: 0.35 }, [q.clone(), k.clone(), v.clone()], None);
        }
    }
}

fn check_attention(how: Attention, [q, k, v]: [Array; 3], dy: Option<Array>) {
    let forward = Op::Attention(how);
    check(&forward, &[q.clone(), k.clone(), v.clone()]);
    if let Some(dy) = dy {
        let made: [Array; 2] = apply(&forward, &[q.clone(), k.clone(), v.clone()]).try_into().unwrap();
        let [y, logsumexp] = made;
        check(&Op::AttentionGrad(how), &[q, k, v, y, logsumexp, dy]);
    }
}

#[test]
fn cross_entropy_and_its_gradient() {
    cases(|s| {
        let rows = s.dims(0..=2, 4);
        let vocab = s.size(1..=40);
        let logits = s.around_zero(&[rows.as_slice(), &[vocab]].concat(), 6);
        let targets = s.indices(&rows, vocab);
        for loss in LOSSES {
            let made = apply(&Op::CrossEntropy(loss), &[logits.clone(), targets.clone()]);
            let logsumexp = made[1].clone();
            check(&Op::CrossEntropy(loss), &[logits.clone(), targets.clone()]);
            let dy = s.around_zero(&[], 2);
            check(&Op::CrossEntropyGrad(loss), &[logits.clone(), targets.clone(), logsumexp, dy]);
        }
    });
}

/// The logarithm of the sum does not drown in large logits.
#[test]
fn cross_entropy_of_large_equal_logits() {
    for large in [1e4f32, 1e8, -1e8] {
        let logits = (Spec::f32(shape(&[3, 2])), Values::F32(vec![large; 6]));
        let targets = (Spec::u32(shape(&[3])), Values::U32(vec![0, 1, 0]));
        let weight = (Spec::f32(shape(&[2, 1])), Values::F32(vec![large; 2]));
        let ones = (Spec::f32(shape(&[3, 1])), Values::F32(vec![1.0; 3]));
        for loss in [Loss::default(), Loss { softcap: 1e12, z_loss: 0.0 }] {
            for mut executor in executors() {
                let mut values = |op: &Op, operands: &[(Spec, Values)], at: usize| {
                    let made = run(executor.as_mut(), op, operands, None).unwrap();
                    let Values::F32(values) = &made[at] else { panic!("f32 is made") };
                    values.clone()
                };
                let near = |values: &[f32], want: f32| values.iter().all(|x| (x.abs() - want).abs() < 1e-6);
                let plain = values(&Op::CrossEntropy(loss), &[logits.clone(), targets.clone()], 0);
                let op = Op::LinearCrossEntropy { loss, gradients: true };
                let linear = values(&op, &[ones.clone(), weight.clone(), targets.clone()], 0);
                assert!(near(&[plain, linear].concat(), std::f32::consts::LN_2), "{large} {loss:?}");
                let lse = (Spec::f32(shape(&[3])), Values::F32(vec![large; 3]));
                let dy = (Spec::f32(shape(&[])), Values::F32(vec![3.0]));
                let slopes = values(&Op::CrossEntropyGrad(loss), &[logits.clone(), targets.clone(), lse, dy], 0);
                assert!(near(&slopes, 0.5), "{large} {loss:?}: {slopes:?}");
            }
        }
    }
}

const LOSSES: [Loss; 3] =
    [Loss { softcap: 0.0, z_loss: 0.0 }, Loss { softcap: 5.0, z_loss: 0.0 }, Loss { softcap: 5.0, z_loss: 0.01 }];

#[test]
fn linear_cross_entropy_with_and_without_gradients() {
    cases(|s| {
        let rows = s.dims(0..=2, 4);
        let (vocab, width) = (s.size(1..=9), s.size(1..=5));
        let x = s.around_zero(&[rows.as_slice(), &[width]].concat(), 1);
        let weight = s.around_zero(&[vocab, width], 1);
        let targets = s.indices(&rows, vocab);
        for loss in LOSSES {
            for gradients in [false, true] {
                let op = Op::LinearCrossEntropy { loss, gradients };
                check(&op, &[x.clone(), weight.clone(), targets.clone()]);
            }
        }
    });
}

/// More than one chunk of rows.
#[test]
fn linear_cross_entropy_goes_in_chunks() {
    let mut s = Sample::new(1);
    let (x, weight) = (s.around_zero(&[600, 3], 1), s.around_zero(&[7, 3], 1));
    let targets = s.indices(&[600], 7);
    let operands: Vec<_> = [x, weight, targets].into_iter().enumerate().collect();
    let op = Op::LinearCrossEntropy { loss: LOSSES[2], gradients: true };
    let given: Vec<_> = operands.iter().map(|(place, array)| operand(&op, *place, array)).collect();
    let [cpu, candle] = executors().map(|mut executor| run(executor.as_mut(), &op, &given, None).unwrap());
    for (a, b) in cpu.iter().zip(&candle) {
        let (Values::F32(a), Values::F32(b)) = (a, b) else { panic!("f32 is made") };
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs())));
    }
}

#[test]
fn newton_schulz_of_tall_wide_and_stacked_matrices() {
    for dims in [&[6, 6][..], &[4, 19], &[19, 4], &[1, 7], &[7, 1], &[3, 5, 9], &[2, 2, 9, 5]] {
        let x = Sample::new(5).around_zero(dims, 2);
        for steps in [0, 1, 5] {
            let coefficients = vec![[3.4445, -4.7750, 2.0315]; steps];
            check(&Op::NewtonSchulz { coefficients }, std::slice::from_ref(&x));
        }
        let coefficients = vec![[3.0, -2.0, 0.5], [1.5, -0.5, 0.0]];
        check(&Op::NewtonSchulz { coefficients }, std::slice::from_ref(&x));
    }
}

#[test]
fn updates_in_place() {
    cases(|s| {
        let dims = s.dims(0..=3, 6);
        let (x, grad, m) = (s.around_zero(&dims, 2), s.around_zero(&dims, 1), s.around_zero(&dims, 1));
        let v = s.positive(&dims);
        check(&Op::Assign, &[x.clone(), grad.clone()]);
        check(&Op::Blend { keep: 0.9, scale: -0.3 }, &[x.clone(), grad.clone()]);
        let (step, eps) = (s.size(1..=2000), 1e-8);
        let how = AdamW { lr: 0.02, beta1: 0.9, beta2: 0.95, eps, weight_decay: 0.1, step };
        check(&Op::AdamW(how), &[x, grad, m, v]);
    });
}
