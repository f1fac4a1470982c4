//! Every op, function and element type that the kernels know is in some case.

use bits::cases::{self, Case};
use kernels::infer::infer;
use kernels::spec::Spec;
use std::collections::BTreeSet;

const OPS: &str = include_str!("../../../../kernels/src/op.rs");
const SPECS: &str = include_str!("../../../../kernels/src/spec.rs");

/// The enums of a source, each with its variants.
fn enums(source: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in source.lines() {
        if let Some(name) = line.strip_prefix("pub enum ") {
            found.push((name.trim_end_matches(" {").to_owned(), Vec::new()));
            inside = true;
        } else if line == "}" {
            inside = false;
        } else if let (true, Some(item), Some((_, variants))) = (inside, line.strip_prefix("    "), found.last_mut())
            && item.starts_with(|c: char| c.is_ascii_uppercase())
        {
            variants.push(item.chars().take_while(char::is_ascii_alphanumeric).collect());
        }
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Variants of the enum that no case names.
fn missing(of: &str, variants: &[String], cases: &[Case]) -> Vec<String> {
    let named: BTreeSet<String> = cases
        .iter()
        .flat_map(|case| {
            let shown = format!("{:?}", case.op);
            // An op comes first in what is shown of it; what it holds follows.
            let places = if of == "Op" { 0..1 } else { 1..usize::MAX };
            let found: Vec<String> = words(&shown)
                .enumerate()
                .filter(|(i, _)| places.contains(i))
                .map(|(_, word)| word.to_owned())
                .collect();
            found
        })
        .collect();
    variants.iter().filter(|variant| !named.contains(*variant)).map(|variant| format!("{of}::{variant}")).collect()
}

#[test]
fn every_op_has_cases() {
    let enums = enums(OPS);
    assert!(enums.iter().any(|(name, variants)| name == "Op" && variants.len() > 30), "the check sees nothing");
    let cases = cases::all();
    let left_out: Vec<String> = enums.iter().flat_map(|(name, variants)| missing(name, variants, &cases)).collect();
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
    let enums = enums(SPECS);
    let (_, variants) = enums.iter().find(|(name, _)| name == "DType").expect("an enum DType");
    let left_out: Vec<_> = variants.iter().filter(|variant| !used.contains(*variant)).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}

#[test]
fn names_are_unique() {
    let cases = cases::all();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
}
