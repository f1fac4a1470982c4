//! The structural operators, in the order in which they are tried. A new operator is a file beside this one and a row
//! here.

use crate::propose::evolve::operators::guest::{Operator, Prior};
use crate::propose::evolve::operators::{activation, norm, optimizer, schedule, sizes, softcap, windows};

pub const OPERATORS: &[Operator] = &[
    Operator {
        name: activation::NAME,
        prior: Prior::Possible,
        evidence: "autoresearch on Apple silicon: GELU −0.051 bpb; elsewhere ReLU² remains",
        sites: activation::sites,
    },
    Operator {
        name: norm::NAME,
        prior: Prior::Possible,
        evidence: "norm before, after, around or without branches: reports differ in sign",
        sites: norm::sites,
    },
    Operator {
        name: windows::NAME,
        prior: Prior::Likely,
        evidence: "autoresearch on Apple silicon: more short windows −0.040 bpb; an H100: half the length −0.0009",
        sites: windows::sites,
    },
    Operator {
        name: sizes::DEPTH_AGAINST_WIDTH,
        prior: Prior::VeryLikely,
        evidence: "autoresearch: one layer more −0.0043 bpb; weak machines do best with two or three fewer",
        sites: sizes::depth_against_width,
    },
    Operator {
        name: sizes::BATCH_AGAINST_SEQUENCE,
        prior: Prior::Likely,
        evidence: "modded-nanogpt: short sequences first, 1.516 → 1.496 minutes; parameter-golf: longer ones −0.02",
        sites: sizes::batch_against_sequence,
    },
    Operator {
        name: schedule::NAME,
        prior: Prior::Possible,
        evidence: "autoresearch: linear is best; modded-nanogpt: power 1.2; a warm-up helps on a GTX 1050 Ti",
        sites: schedule::sites,
    },
    Operator {
        name: optimizer::NAME,
        prior: Prior::VeryLikely,
        evidence: "autoresearch on Apple silicon: rates of matrices −0.023 bpb, of scalars −0.031; an H100: −0.0043",
        sites: optimizer::sites,
    },
    Operator {
        name: softcap::NAME,
        prior: Prior::Likely,
        evidence: "autoresearch on Apple silicon: off, with rates 30% lower, −0.020 bpb; nanochat: 15 beats 20",
        sites: softcap::sites,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_short() {
        let names: BTreeSet<&str> = OPERATORS.iter().map(|operator| operator.name).collect();
        assert_eq!(names.len(), OPERATORS.len());
        assert!(names.iter().all(|name| !name.is_empty() && name.len() <= 40), "{names:?}");
    }

    #[test]
    fn each_row_has_its_evidence_in_one_line() {
        for Operator { name, evidence, .. } in OPERATORS {
            assert!(
                evidence.len() > 10 && evidence.chars().count() <= 120 && !evidence.contains('\n'),
                "{name}: {evidence}"
            );
        }
    }

    #[test]
    fn levels_of_priors_are_in_order() {
        let priors = [Prior::Unlikely, Prior::Possible, Prior::Likely, Prior::VeryLikely];
        assert_eq!(priors.map(Prior::level), [0, 1, 2, 3]);
    }
}
