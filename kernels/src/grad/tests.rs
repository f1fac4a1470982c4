//! Rules against shapes and handles; their values are checked with an executor.

use super::*;
use crate::fault::Fault;
use crate::op::{Attention, Binary, Loss, Op, TensorId, Unary};
use crate::spec::{DType, Shape, Spec};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// Infers specs, counts handles, keeps the names.
#[derive(Default)]
struct Trace {
    specs: BTreeMap<TensorId, Spec>,
    handles: BTreeMap<TensorId, i32>,
    names: Vec<&'static str>,
}

impl Trace {
    fn add(&mut self, spec: Spec) -> TensorId {
        let id = TensorId(self.specs.len() as u64);
        self.specs.insert(id, spec);
        self.handles.insert(id, 1);
        id
    }
}

impl Emit for Trace {
    fn emit(&mut self, op: Op, inputs: &[TensorId]) -> Result<SmallVec<[TensorId; 3]>, Fault> {
        assert!(inputs.iter().all(|id| self.handles[id] > 0), "{op:?} reads what was released");
        let specs: Vec<&Spec> = inputs.iter().map(|id| &self.specs[id]).collect();
        let outputs = crate::infer::infer(&op, &specs)?;
        self.names.push(op.name());
        Ok(outputs.into_iter().map(|spec| self.add(spec)).collect())
    }

    fn share(&mut self, id: TensorId) -> TensorId {
        *self.handles.entry(id).or_default() += 1;
        id
    }

    fn release(&mut self, id: TensorId) {
        *self.handles.entry(id).or_default() -= 1;
    }
}

fn f(dims: &[u32]) -> Spec {
    Spec::f32(Shape::new(dims).unwrap())
}

fn u(dims: &[u32]) -> Spec {
    Spec::u32(Shape::new(dims).unwrap())
}

/// Applies the rule with every subset of the f32 inputs wanted: gradients have the inputs' shapes, nothing but
/// them stays alive, and only saved values are read.
fn check(op: Op, inputs: &[Spec]) {
    for subset in 1u32..1 << inputs.len() {
        let wanted: Vec<bool> = (0..inputs.len()).map(|i| subset >> i & 1 == 1).collect();
        if wanted.iter().zip(inputs).any(|(&w, spec)| w && !spec.dtype.is_float()) {
            continue;
        }
        let mut trace = Trace::default();
        let ids: Vec<TensorId> = inputs.iter().map(|spec| trace.add(spec.clone())).collect();
        let outputs = trace.emit(op.clone(), &ids).unwrap();
        let dy = trace.add(Spec::f32(trace.specs[&outputs[0]].shape.clone()));
        let saved = saves(&op, &wanted);
        let mut kept = trace.handles.clone();
        for (mask, ids) in [(saved.inputs, &ids[..]), (saved.outputs, &outputs[..])] {
            for (i, id) in ids.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 0) {
                assert!(i < 8);
                trace.release(*id);
                kept.insert(*id, 0);
            }
        }
        let done = Done { op: &op, inputs: &ids, specs: inputs, outputs: &outputs };
        let gradients = gradients(done, dy, &wanted, &mut trace).unwrap();
        for (i, gradient) in gradients.iter().enumerate() {
            assert_eq!(gradient.is_some(), wanted[i], "{op:?}");
            if let Some(id) = gradient {
                assert_eq!(trace.specs[id], Spec::f32(inputs[i].shape.clone()), "{op:?}");
                trace.release(*id);
            }
        }
        trace.handles.retain(|id, count| kept.get(id).copied().unwrap_or(0) != *count);
        assert!(trace.handles.is_empty(), "{op:?} leaks or takes too much: {:?}", trace.handles);
    }
}

#[test]
fn rules_fit_shapes_and_balance_handles() {
    let shape = |dims: &[u32]| Shape::new(dims).unwrap();
    check(Op::Reshape { shape: shape(&[6]) }, &[f(&[2, 3])]);
    check(Op::Permute { axes: [2, 0, 1].into_iter().collect() }, &[f(&[2, 3, 4])]);
    check(Op::Narrow { axis: 1, start: 1, len: 2 }, &[f(&[2, 5])]);
    check(Op::Cat { axis: 1 }, &[f(&[2, 5]), f(&[2, 1]), f(&[2, 3])]);
    check(Op::Expand { shape: shape(&[4, 2, 3]) }, &[f(&[2, 1])]);
    check(Op::SumTo { shape: shape(&[2, 1]) }, &[f(&[4, 2, 3])]);
    for function in Unary::ALL {
        check(Op::Unary(function), &[f(&[2, 3])]);
    }
    for function in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Maximum, Binary::Minimum] {
        check(Op::Binary(function), &[f(&[2, 3]), f(&[2, 3])]);
        check(Op::Binary(function), &[f(&[4, 1, 3]), f(&[2, 1])]);
    }
    check(Op::Affine { mul: 1.0, add: 2.0 }, &[f(&[2])]);
    check(Op::Affine { mul: 3.0, add: 2.0 }, &[f(&[2])]);
    check(Op::Softcap { cap: 15.0 }, &[f(&[2])]);
    for keep in [false, true] {
        check(Op::Sum { axes: [0, 2].into_iter().collect(), keep }, &[f(&[2, 3, 4])]);
        check(Op::Mean { axes: [1].into_iter().collect(), keep }, &[f(&[2, 3, 4])]);
    }
    check(Op::Cast { to: DType::Bf16 }, &[f(&[2, 3])]);
    check(Op::Pad { axis: 1, before: 1, after: 0 }, &[f(&[2, 5])]);
    check(Op::Binary(Binary::Pow), &[f(&[4, 1, 3]), f(&[2, 1])]);
    for keep in [false, true] {
        check(Op::Max { axes: [0, 2].into_iter().collect(), keep }, &[f(&[2, 3, 4])]);
        check(Op::Min { axes: [1].into_iter().collect(), keep }, &[f(&[2, 3, 4])]);
    }
    let condition = Spec { dtype: DType::Bool, ..f(&[3]) };
    check(Op::Select, &[condition, f(&[2, 3]), f(&[2, 1])]);
    check(Op::CumSum { axis: 0, reverse: false }, &[f(&[2, 3])]);
    check(Op::LogSumExp, &[f(&[2, 3])]);
    check(Op::Gather { axis: 1 }, &[f(&[2, 3]), u(&[2, 7])]);
    check(Op::ScatterAdd { axis: 1 }, &[f(&[2, 3]), u(&[2, 7]), f(&[2, 7])]);
    check(Op::LayerNorm { eps: 1e-6 }, &[f(&[2, 3])]);
    let linear = Op::LinearCrossEntropy { loss: Loss::default(), gradients: true };
    check(linear, &[f(&[2, 3, 4]), f(&[11, 4]), u(&[2, 3])]);
    check(Op::Softmax, &[f(&[2, 3])]);
    check(Op::Embedding, &[f(&[9, 4]), u(&[2, 3])]);
    check(Op::RmsNorm { eps: 1e-6 }, &[f(&[2, 3])]);
    check(Op::Rope { base: 1e4, inverse: false }, &[f(&[1, 2, 3, 4])]);
    check(
        Op::Attention(Attention { causal: true, window: 2, scale: 0.5 }),
        &[f(&[2, 8, 6, 4]), f(&[2, 8, 3, 4]), f(&[2, 8, 3, 4])],
    );
    check(Op::CrossEntropy(Loss { softcap: 15.0, z_loss: 0.0 }), &[f(&[2, 3, 11]), u(&[2, 3])]);
    check(Op::Copy, &[f(&[2])]);
}

#[test]
fn products_of_every_orientation() {
    for flags in 0..4 {
        let (transpose_a, transpose_b) = (flags & 1 == 1, flags & 2 == 2);
        let op = Op::MatMul { transpose_a, transpose_b };
        let a = if transpose_a { [3, 2] } else { [2, 3] };
        let b = if transpose_b { [5, 3] } else { [3, 5] };
        check(op.clone(), &[f(&a), f(&b)]);
        check(op.clone(), &[f(&[7, a[0], a[1]]), f(&b)]);
        check(op, &[f(&[7, a[0], a[1]]), f(&[7, b[0], b[1]])]);
    }
}

#[test]
fn a_gradient_of_the_same_shape_is_passed_on_without_an_op() {
    let mut trace = Trace::default();
    let ids = [trace.add(f(&[2])), trace.add(f(&[2])), trace.add(f(&[2]))];
    let op = Op::Binary(Binary::Add);
    let specs = [f(&[2]), f(&[2])];
    let done = Done { op: &op, inputs: &ids[..2], specs: &specs, outputs: &ids[2..] };
    let given = gradients(done, ids[2], &[true, true], &mut trace).unwrap();
    assert_eq!(given.as_slice(), [Some(ids[2]), Some(ids[2])]);
    assert!(trace.names.is_empty());
}

#[test]
fn what_has_no_gradient_says_so() {
    let mut trace = Trace::default();
    let id = trace.add(f(&[2, 2]));
    let op = Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 5] };
    let specs = [f(&[2, 2])];
    let done = Done { op: &op, inputs: &[id], specs: &specs, outputs: &[id] };
    let fault = gradients(done, id, &[true], &mut trace).unwrap_err();
    assert_eq!(fault, Fault::NoGradient { op: "newton-schulz" });
}

/// They were taken for a scalar's.
#[test]
fn operands_that_do_not_broadcast_are_a_fault() {
    for op in [Op::Binary(Binary::Add), Op::Binary(Binary::Maximum), Op::Select] {
        let mut trace = Trace::default();
        let specs = [f(&[2]), f(&[3]), f(&[2])];
        let ids: Vec<TensorId> = specs.iter().map(|spec| trace.add(spec.clone())).collect();
        let done = Done { op: &op, inputs: &ids, specs: &specs, outputs: &ids[..1] };
        let fault = gradients(done, ids[0], &[true; 3], &mut trace).unwrap_err();
        assert!(matches!(fault, Fault::Executor(_)), "{op:?}: {fault}");
    }
}

#[test]
fn functions_of_integers_have_no_gradient() {
    let mut trace = Trace::default();
    let id = trace.add(f(&[2]));
    let (op, specs) = (Op::Binary(Binary::Rem), [f(&[2]), f(&[2])]);
    let done = Done { op: &op, inputs: &[id, id], specs: &specs, outputs: &[id] };
    let fault = gradients(done, id, &[true, true], &mut trace).unwrap_err();
    assert_eq!(fault, Fault::NoGradient { op: "rem" });
}
