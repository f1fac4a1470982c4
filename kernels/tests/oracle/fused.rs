//! Indexing, the ops that executors fuse, and updates in place.

use super::reference::sample::Sample;
use super::reference::{Array, apply};
use super::{cases, check, executors, run, shape};
use kernels::fault::Fault;
use kernels::op::{AdamW, Op};
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
    let loss = Op::CrossEntropy { softcap: 0.0 };
    let grad = Op::CrossEntropyGrad { softcap: 0.0 };
    for last in [5, u32::MAX] {
        let calls = [
            (Op::Embedding, vec![floats(&[5, 2]), indices(last)]),
            (Op::EmbeddingGrad { rows: 5 }, vec![indices(last), floats(&[3, 2])]),
            (loss.clone(), vec![floats(&[3, 5]), indices(last)]),
            (grad.clone(), vec![floats(&[3, 5]), indices(last), floats(&[3]), floats(&[])]),
        ];
        for (op, operands) in calls {
            for mut executor in executors() {
                let fault = run(executor.as_mut(), &op, &operands, None);
                let class = executor.class();
                assert!(
                    matches!(fault, Err(Fault::Execution { index: 42, .. })),
                    "{class}: {op:?} with index {last} gave {fault:?}"
                );
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
            check(&Op::Rope { base: 10_000.0, inverse }, &[x.clone()]);
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
        check_attention(window, scale, [q, k, v], Some(dy));
    });
}

#[test]
fn attention_over_many_blocks() {
    let mut s = Sample::new(0);
    for (time, window) in [(130, 0), (130, 65), (97, 1), (70, 64)] {
        let q = s.around_zero(&[1, time, 2, 8], 2);
        let [k, v] = [0; 2].map(|_| s.around_zero(&[1, time, 1, 8], 2));
        check_attention(window, 0.35, [q, k, v], None);
    }
}

fn check_attention(window: u32, scale: f32, [q, k, v]: [Array; 3], dy: Option<Array>) {
    let forward = Op::Attention { window, scale };
    check(&forward, &[q.clone(), k.clone(), v.clone()]);
    if let Some(dy) = dy {
        let made: [Array; 2] = apply(&forward, &[q.clone(), k.clone(), v.clone()]).try_into().unwrap();
        let [y, logsumexp] = made;
        check(&Op::AttentionGrad { window, scale }, &[q, k, v, y, logsumexp, dy]);
    }
}

#[test]
fn cross_entropy_and_its_gradient() {
    cases(|s| {
        let rows = s.dims(0..=2, 4);
        let vocab = s.size(1..=40);
        let logits = s.around_zero(&[rows.as_slice(), &[vocab]].concat(), 6);
        let targets = s.indices(&rows, vocab);
        for softcap in [0.0, 5.0] {
            let made = apply(&Op::CrossEntropy { softcap }, &[logits.clone(), targets.clone()]);
            let logsumexp = made[1].clone();
            check(&Op::CrossEntropy { softcap }, &[logits.clone(), targets.clone()]);
            let dy = s.around_zero(&[], 2);
            check(&Op::CrossEntropyGrad { softcap }, &[logits.clone(), targets.clone(), logsumexp, dy]);
        }
    });
}

#[test]
fn newton_schulz_of_tall_wide_and_stacked_matrices() {
    for dims in [&[6, 6][..], &[4, 19], &[19, 4], &[1, 7], &[7, 1], &[3, 5, 9], &[2, 2, 9, 5]] {
        let x = Sample::new(5).around_zero(dims, 2);
        for steps in [0, 1, 5] {
            check(&Op::NewtonSchulz { steps }, &[x.clone()]);
        }
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
