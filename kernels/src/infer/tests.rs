//! Messages, shapes, limits.

use super::*;
use crate::op::{Attention, Loss, Op};
use crate::spec::{DType, Shape, Spec};
use proptest::prelude::*;
use smallvec::smallvec;

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
        says(Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 65] }, &[f(&[2, 2])]),
        "newton-schulz: 65 steps; at most 64 are allowed (5 is usual)"
    );
    assert_eq!(
        says(Op::NextBatch { batch: 1 << 20, seq: 1 << 20, drawn: 0 }, &[]),
        "next-batch: [1048576,1048576] has more than 2^31 elements"
    );
}

#[test]
fn shapes_of_the_fused_ops() {
    let (q, k) = (f(&[2, 8, 6, 4]), f(&[2, 8, 3, 4]));
    let attention = Op::Attention(Attention { causal: true, window: 0, scale: 1.0 });
    assert_eq!(gives(attention, &[q.clone(), k.clone(), k.clone()]), [q.clone(), f(&[2, 6, 8])]);
    let gradient = Op::AttentionGrad(Attention { causal: true, window: 0, scale: 1.0 });
    let inputs = [q.clone(), k.clone(), k.clone(), q.clone(), f(&[2, 6, 8]), q.clone()];
    assert_eq!(gives(gradient, &inputs), [q, k.clone(), k]);
    let loss = gives(Op::CrossEntropy(Loss { softcap: 15.0, z_loss: 0.0 }), &[f(&[2, 3, 11]), u(&[2, 3])]);
    assert_eq!(loss, [f(&[]), f(&[2, 3])]);
}

#[test]
fn operands_of_indexing_and_order_fit() {
    let gather = |x: &[u32], indices: &[u32]| infer(&Op::Gather { axis: 1 }, &[&f(x), &u(indices)]);
    assert_eq!(gather(&[2, 5], &[2, 9]).unwrap()[0], f(&[2, 9]));
    assert_eq!(
        gather(&[2, 5], &[3, 9]).unwrap_err().to_string(),
        "gather of [2,5] and [3,9] u32: the indices must have the sizes of the first operand, but along axis 1"
    );
    assert!(gather(&[2], &[2]).is_err());
    assert_eq!(
        says(Op::ScatterAdd { axis: 0 }, &[f(&[4]), u(&[2]), f(&[3])]),
        "scatter-add of [4], [2] u32 and [3]: the values must have the shape of the indices"
    );
    assert_eq!(gives(Op::ArgMax { axis: 0 }, &[f(&[4, 3])]), [u(&[3])]);
    assert_eq!(gives(Op::ArgSort { descending: true }, &[f(&[4, 3])]), [u(&[4, 3])]);
    assert_eq!(gives(Op::LogSumExp, &[f(&[4, 3])]), [f(&[4])]);
    assert!(says(Op::LogSumExp, &[f(&[])]).contains("a scalar has no last axis"));
    assert!(says(Op::CumSum { axis: 2, reverse: false }, &[f(&[4, 3])]).contains("axis 2 does not exist"));
    assert!(says(Op::ArgMax { axis: 2 }, &[f(&[4, 3])]).contains("axis 2 does not exist"));
    let condition = Spec { dtype: DType::Bool, ..f(&[3]) };
    assert_eq!(gives(Op::Select, &[condition.clone(), u(&[2, 1]), u(&[])]), [u(&[2, 3])]);
    assert!(says(Op::Select, &[condition, f(&[2]), f(&[])]).contains("do not broadcast"));
    assert_eq!(
        says(Op::Pad { axis: 0, before: u32::MAX, after: 1 }, &[f(&[4])]),
        "pad of [4]: axis 0 of size 4 with 4294967295 before and 1 after is longer than 4294967295"
    );
    let twice = Op::Sum { axes: smallvec![0; 1000], keep: true };
    assert_eq!(says(twice, &[f(&[4])]), "sum: axes [0,0,0,0,0,0,0,0,… 992 more] must rise; each is given once");
}

#[test]
fn linear_cross_entropy_makes_gradients_where_they_are_wanted() {
    let op = |gradients| Op::LinearCrossEntropy { loss: Loss::default(), gradients };
    let (x, w, t) = (f(&[2, 3, 4]), f(&[7, 4]), u(&[2, 3]));
    assert_eq!(gives(op(false), &[x.clone(), w.clone(), t.clone()]), [f(&[]), f(&[2, 3])]);
    assert_eq!(gives(op(true), &[x.clone(), w.clone(), t.clone()]), [f(&[]), f(&[2, 3]), x.clone(), w]);
    assert!(says(op(true), &[x.clone(), f(&[7, 5]), t.clone()]).ends_with("the weight must be [vocab, 4]"));
    assert!(says(op(true), &[f(&[2, 4]), f(&[7, 4]), t]).ends_with("x must be [targets.., width]"));
    let odd = Loss { softcap: f32::NAN, z_loss: 0.0 };
    assert!(says(Op::CrossEntropy(odd), &[f(&[2, 3]), u(&[2])]).contains("softcap is NaN"));
    let odd = Loss { softcap: 0.0, z_loss: -1.0 };
    assert!(says(Op::CrossEntropy(odd), &[f(&[2, 3]), u(&[2])]).contains("z-loss is -1"));
    let coefficients = vec![[1.0, f32::INFINITY, 0.0]];
    assert!(says(Op::NewtonSchulz { coefficients }, &[f(&[2, 2])]).contains("a coefficient is not finite"));
}

/// Bad numbers and sizes are refused before anything is made, by every op that has them.
#[test]
fn bad_scalars_and_sizes_are_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
        for op in [Op::RmsNorm { eps: bad }, Op::LayerNorm { eps: bad }, Op::Softcap { cap: bad }] {
            assert!(infer(&op, &[&f(&[2])]).is_err(), "{op:?}");
        }
        let rope = Op::Rope { base: bad, inverse: false };
        assert!(infer(&rope, &[&f(&[1, 2, 3, 4])]).is_err());
    }
    let how = Attention { causal: true, window: 0, scale: f32::NAN };
    let q = f(&[1, 2, 3, 4]);
    assert!(infer(&Op::Attention(how), &[&q, &q, &q]).is_err());
    let refused = |dims: &[u32]| Shape::new(dims).unwrap_err().to_string();
    assert_eq!(refused(&[2, 0]), "[2,0] has size 0 at axis 1; every size must be at least 1");
    assert_eq!(refused(&[1; 7]), "[1,1,1,1,1,1,1] has 7 axes; at most 6 are allowed");
    assert_eq!(refused(&[1; 100]), "[1,1,1,1,1,1,1,1,… 92 more] has 100 axes; at most 6 are allowed");
    assert_eq!(refused(&[u32::MAX, u32::MAX]), "[4294967295,4294967295] has more than 2^31 elements");
    let wide = f(&[1 << 16, 1, 1]);
    assert!(says(Op::Binary(crate::op::Binary::Add), &[wide.clone(), f(&[1, 1 << 16])]).contains("more than 2^31"));
    assert!(says(Op::Compare(crate::op::Compare::Lt), &[wide, f(&[1, 1 << 16])]).contains("more than 2^31"));
}

#[test]
fn a_uniform_range_is_one_that_f32_can_span() {
    let uniform = |low, high| Op::Uniform { shape: Shape::scalar(), low, high, stream: 0, position: 0 };
    for (low, high) in [(0.0, 0.0), (-1.0, 1.0), (f32::MIN / 2.0, f32::MAX / 2.0)] {
        assert_eq!(gives(uniform(low, high), &[]), [f(&[])]);
    }
    let bad = [(1.0, 0.0), (f32::MIN, f32::MAX), (0.0, f32::INFINITY), (f32::NEG_INFINITY, 0.0), (f32::NAN, 1.0)];
    for (low, high) in bad {
        assert!(says(uniform(low, high), &[]).contains("their difference finite"), "{low} to {high}");
    }
    assert_eq!(
        says(uniform(-3e38, 3e38), &[]),
        "uniform: no range from -3e38 to 3e38; low must be at most high, their difference finite in f32"
    );
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
