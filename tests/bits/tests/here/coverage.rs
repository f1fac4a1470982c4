//! Every op, function and element type that the kernels know is in some case.

use bits::Variant;
use bits::cases::{self, Case};
use kernels::infer::infer;
use kernels::op::{Binary, Compare, Op, Unary};
use kernels::spec::{DType, Spec};
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Variants that are not covered, as the source spells them.
fn missing<T: Debug>(all: impl IntoIterator<Item = T>, covered: &BTreeSet<String>) -> Vec<String> {
    all.into_iter().map(|one| format!("{one:?}")).filter(|one| !covered.contains(one)).collect()
}

#[test]
fn every_op_has_cases() {
    let (mut ops, mut functions) = (BTreeSet::new(), BTreeSet::new());
    for case in cases::all() {
        ops.insert(case.op.code());
        match case.op {
            Op::Unary(f) => functions.insert(format!("{f:?}")),
            Op::Binary(f) => functions.insert(format!("{f:?}")),
            Op::Compare(f) => functions.insert(format!("{f:?}")),
            _ => continue,
        };
    }
    let named = Op::VARIANTS.iter().zip(0u8..).filter(|(_, code)| !ops.contains(code));
    let mut left_out: Vec<String> = named.map(|(name, _)| format!("Op::{name}")).collect();
    left_out.extend(missing(Unary::ALL, &functions));
    left_out.extend(missing(Binary::ALL, &functions));
    left_out.extend(missing(Compare::ALL, &functions));
    assert!(left_out.is_empty(), "add operands for them to tests/bits/src/cases/families.rs: {left_out:?}");
}

#[test]
fn every_element_type_has_cases() {
    let mut used = BTreeSet::new();
    for case in cases::all() {
        let specs: Vec<&Spec> = case.inputs.iter().map(|(spec, _)| spec).collect();
        let made = infer(&case.op, &specs).unwrap_or_else(|fault| panic!("{}: {fault}", case.name));
        used.extend(specs.into_iter().chain(&made).map(|spec| format!("{:?}", spec.dtype)));
    }
    assert_eq!(missing(DType::ALL, &used), Vec::<String>::new());
}

#[test]
fn names_are_unique() {
    let cases = cases::all();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
}

/// The digest of a fault would pass for one of results.
#[test]
fn a_case_that_ends_with_a_fault_has_no_digest() {
    let case = cases::all().into_iter().find(|case| case.op == Op::Softmax).expect("a case of softmax");
    let twice = [case.inputs[0].clone(), case.inputs[0].clone()].to_vec();
    let executor = Variant::plain().executor().unwrap();
    assert!(case.digest(&executor).is_ok());
    assert!(Case { inputs: twice, ..case }.digest(&executor).is_err());
}
