//! Messages, shapes, limits.

use super::*;
use proptest::prelude::*;

fn f(dims: &[u32]) -> Spec {
    Spec::f32(Shape::new(dims).unwrap())
}

fn u(dims: &[u32]) -> Spec {
    Spec::u32(Shape::new(dims).unwrap())
}

fn says(op: Op, inputs: &[Spec]) -> String {
    let refs: Vec<&Spec> = inputs.iter().collect();
    infer(&op, &refs).unwrap_err().to_string()
}

fn gives(op: Op, inputs: &[Spec]) -> Vec<Spec> {
    let refs: Vec<&Spec> = inputs.iter().collect();
    infer(&op, &refs).unwrap().into_vec()
}

const PLAIN: Op = Op::MatMul { transpose_a: false, transpose_b: false };

#[test]
fn faults_say_what_is_wrong_and_what_to_do() {
    assert_eq!(
        says(PLAIN, &[f(&[16, 128, 256]), f(&[128, 512])]),
        "matmul of [16,128,256] and [128,512]: inner sizes 256 and 128 differ"
    );
    assert_eq!(
        says(PLAIN, &[f(&[4, 8]), f(&[16, 8])]),
        "matmul of [4,8] and [16,8]: inner sizes 8 and 16 differ; they agree with transpose-b"
    );
    assert_eq!(
        says(Op::Embedding, &[f(&[9, 4]), f(&[2])]),
        "embedding of [9,4] and [2]: operand 2 is f32, it must be u32"
    );
    assert_eq!(
        says(Op::Rope { base: 1e4, inverse: false }, &[f(&[1, 2, 3, 5])]),
        "rope of [1,2,3,5]: the last axis, 5, must be even: halves are rotated"
    );
    assert_eq!(says(Op::Cat { axis: 0 }, &[]), "cat: nothing to join; give at least one tensor");
    let many: Vec<Spec> = (1..=1000).map(|i| f(&[1, i])).collect();
    assert_eq!(
        says(Op::Cat { axis: 0 }, &many),
        "cat of [1,1], [1,2], [1,3], [1,4], [1,5], [1,6] and 994 more: sizes may differ along axis 0 only"
    );
    assert_eq!(
        says(Op::NewtonSchulz { steps: 65 }, &[f(&[2, 2])]),
        "newton-schulz: 65 steps; at most 64 are allowed (5 is usual)"
    );
    assert_eq!(
        says(Op::NextBatch { batch: 1 << 20, seq: 1 << 20, drawn: 0 }, &[]),
        "next-batch: more than 2^31 elements"
    );
}

#[test]
fn shapes_of_the_fused_ops() {
    let (q, k) = (f(&[2, 8, 6, 4]), f(&[2, 8, 3, 4]));
    let attention = Op::Attention { window: 0, scale: 1.0 };
    assert_eq!(gives(attention, &[q.clone(), k.clone(), k.clone()]), [q.clone(), f(&[2, 6, 8])]);
    let gradient = Op::AttentionGrad { window: 0, scale: 1.0 };
    let inputs = [q.clone(), k.clone(), k.clone(), q.clone(), f(&[2, 6, 8]), q.clone()];
    assert_eq!(gives(gradient, &inputs), [q, k.clone(), k]);
    let loss = gives(Op::CrossEntropy { softcap: 15.0 }, &[f(&[2, 3, 11]), u(&[2, 3])]);
    assert_eq!(loss, [f(&[]), f(&[2, 3])]);
}

#[test]
fn products_share_a_matrix_and_transpose() {
    assert_eq!(gives(PLAIN, &[f(&[5, 2, 3]), f(&[3, 4])]), [f(&[5, 2, 4])]);
    let both = Op::MatMul { transpose_a: true, transpose_b: true };
    assert_eq!(gives(both, &[f(&[5, 3, 2]), f(&[5, 4, 3])]), [f(&[5, 2, 4])]);
    assert!(infer(&PLAIN, &[&f(&[2, 2, 3]), &f(&[5, 3, 4])]).is_err());
}

#[test]
fn sizes_pass_at_the_limit_and_fail_above() {
    let cat = Op::Cat { axis: 0 };
    let half = u(&[1 << 30]);
    assert!(infer(&cat, &[&half, &half]).is_ok());
    assert!(infer(&cat, &[&half, &half, &u(&[1])]).is_err());
    assert!(infer(&Op::Narrow { axis: 0, start: 3, len: 5 }, &[&f(&[8])]).is_ok());
    assert!(infer(&Op::Narrow { axis: 0, start: 4, len: 5 }, &[&f(&[8])]).is_err());
    assert!(infer(&Op::Narrow { axis: 0, start: u32::MAX, len: 5 }, &[&f(&[8])]).is_err());
}

proptest! {
    #[test]
    fn broadcasting_commutes_and_is_undone_by_its_gradient(
        a in prop::collection::vec(1u32..4, 0..5),
        b in prop::collection::vec(1u32..4, 0..5),
    ) {
        let (a, b) = (Shape::new(&a).unwrap(), Shape::new(&b).unwrap());
        prop_assert_eq!(broadcast(&a, &b), broadcast(&b, &a));
        if let Some(dims) = broadcast(&a, &b) {
            let wide = f(&dims);
            prop_assert_eq!(gives(Op::SumTo { shape: a.clone() }, std::slice::from_ref(&wide)), vec![Spec::f32(a.clone())]);
            prop_assert_eq!(gives(Op::Expand { shape: wide.shape.clone() }, &[Spec::f32(a)]), vec![wide]);
        }
    }
}
