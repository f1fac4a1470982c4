//! The structural operators, in the order in which they are tried. A new operator is a function in the file of its
//! family and a row here. Evidence is of others' logs, in bits per byte unless it says otherwise, where less is better;
//! "here" is the seed guest at 6 s, and the optimizer track is modded-nanogpt's.

use crate::propose::evolve::operators::guest::{Change, Operator, Prior, Site};
use crate::propose::evolve::operators::{
    activation, adam, attention, head, initial, memory, mlp, muon, norm, optimizer, schedule, sizes, steps, stream,
    windows,
};

/// Rows of name, prior and evidence, and the function that finds the changes.
macro_rules! operators {
    ($($name:literal, $prior:ident, $evidence:literal => $family:ident::$find:ident;)*) => {
        &[$(Operator {
            name: $name,
            prior: Prior::$prior,
            evidence: $evidence,
            sites: |guest| {
                if guest.is_too_long() {
                    return Vec::new();
                }
                let named = |change: Change| Site {
                    operator: $name,
                    description: change.description,
                    edits: change.edits,
                };
                $family::$find(guest).into_iter().map(named).collect()
            },
        }),*]
    };
}

#[rustfmt::skip]
pub const OPERATORS: &[Operator] = operators! {
    // Steps and sizes.
    "batch", VeryLikely,
        "autoresearch: half the batch −0.012; Apple silicon −0.133, then −0.033; here −0.077"
        => steps::batch;
    "batch schedule", Likely,
        "modded-nanogpt record 46: 65 steps fewer; nanochat: a small gain, judged too complex"
        => steps::batch_schedule;
    "sequence", Likely,
        "parameter-golf: longer sequences −0.02 where text is not scarce"
        => steps::sequence;
    "sequence schedule", Likely,
        "modded-nanogpt record 72: short sequences first, 1.516 → 1.496 minutes"
        => steps::sequence_schedule;
    "batch against sequence", Likely,
        "the same tokens per step: where one of the two is too long, the other gains"
        => sizes::batch_against_sequence;
    "depth against width", VeryLikely,
        "autoresearch: one layer more −0.0043; weak machines do best with two or three fewer"
        => sizes::depth_against_width;
    "width of the MLP", Likely,
        "autoresearch on Apple silicon: 4 → 3 → 2 → 1, −0.026, −0.017, −0.026; an H100: 4 stays"
        => mlp::expansion;
    "dropped sublayer", Likely,
        "modded-nanogpt: no first MLP 2.731 → 2.717 minutes, no first attention 2.547 → 2.527"
        => stream::dropped_sublayer;
    "size of heads", Possible,
        "nanochat: 128 better than 64; autoresearch on Apple silicon: 128 → 64, +0.07"
        => sizes::head_size;
    "recurrence", Possible,
        "slowrun: layers run again, −0.005 to −0.010 in an hour; parameter-golf: in top entries"
        => stream::recurrence;

    // Attention.
    "windows", Likely,
        "autoresearch on Apple silicon: more short windows −0.040; an H100: a quarter the length −0.0009"
        => windows::sites;
    "window schedule", Possible,
        "modded-nanogpt record 13: windows that grow, 5.03 → 4.66 minutes; slowrun −0.006"
        => attention::window_schedule;
    "rope base", Likely,
        "autoresearch: 10,000 → 200,000, −0.0012; Apple silicon −0.006; nanochat: 100,000"
        => attention::rope_base;
    "partial rope", Possible,
        "slowrun: with others −0.009; parameter-golf: a quarter of the channels −0.002; nanochat none"
        => attention::partial_rope;
    "key offset", Possible,
        "modded-nanogpt record 49: 50 steps fewer; here +0.038 at width 96"
        => attention::key_offset;
    "query gain", Likely,
        "nanochat: queries and keys × 1.15, then 1.2; autoresearch@home: 1.10"
        => attention::query_gain;
    "attention scale", Possible,
        "modded-nanogpt record 20: a scale of 0.12, with others; parameter-golf: scores × 5"
        => attention::attention_scale;
    "head gates", Likely,
        "modded-nanogpt record 28: 55 steps fewer; slowrun −0.019 and −0.010; here +0.002"
        => attention::head_gates;
    "paired heads", Possible,
        "modded-nanogpt record 58: 1.878 → 1.820 minutes"
        => attention::paired_heads;

    // Values and token memory.
    "several n-gram tables", VeryLikely,
        "here: hashed 2,3-grams −0.248, 2,3,4-grams −0.355, 2,3,4,5-grams −0.395 of 2.725"
        => memory::several_ngrams;
    "n-grams at each layer", VeryLikely,
        "here: 2-grams −0.148, as at the input alone; modded-nanogpt record 62: 165 steps fewer"
        => memory::ngrams_at_each_layer;
    "2-gram table", VeryLikely,
        "here −0.148; modded-nanogpt record 62: 1.748 → 1.655 minutes; nanochat: up to 12 layers"
        => memory::bigrams;
    "3-gram table", VeryLikely,
        "here: beside 2-grams −0.100; Recursive: gated trigrams of values in its best entry"
        => memory::trigrams;
    "longer n-gram table", VeryLikely,
        "here: 4-grams beside shorter ones −0.107, 5-grams −0.040; nanochat on words: nothing"
        => memory::longer_ngrams;
    "signed n-grams", Likely,
        "modded-nanogpt record 83: 1.353 → 1.328 minutes"
        => memory::signed_ngrams;
    "smear", VeryLikely,
        "here −0.052; modded-nanogpt record 34: 5 to 15 steps fewer; parameter-golf: in all top entries"
        => memory::smear;
    "value embeddings", Likely,
        "nanochat: on every other layer; autoresearch: off +0.062, on the last three only +0.007"
        => memory::value_embeddings;
    "gate of values", Possible,
        "nanochat: 12 channels and a range of 3; autoresearch: flat"
        => memory::gates;

    // Residual stream.
    "shortcut from the embedding", Likely,
        "nanochat: −0.0103 at 8 layers, −0.0039 at 20; autoresearch: without it +0.004"
        => stream::shortcut;
    "first scalars", Likely,
        "autoresearch: shortcut 0.05, −0.0008; modded-nanogpt record 45: about −0.001 nats"
        => stream::first_scalars;
    "skips", Possible,
        "slowrun: −0.021 and −0.015; modded-nanogpt: one is enough; nanochat: worse"
        => stream::unet_skips;
    "backout", Likely,
        "modded-nanogpt record 40; nanochat: kept, a share of 0.2"
        => stream::backout;
    "dense mix", Possible,
        "modded-nanogpt record 81: 1.406 → 1.363 minutes"
        => stream::dense_mix;
    "norm", Possible,
        "norm before, after, around or without branches: reports differ in sign"
        => norm::sites;

    // MLP.
    "activation", Possible,
        "autoresearch on Apple silicon: GELU −0.051; elsewhere ReLU² remains"
        => activation::sites;
    "leaky activation", Likely,
        "parameter-golf: LeakyReLU(½)² −0.0021 alone; nanochat: better a step, slower"
        => mlp::leaky_relu;
    "gated MLP", Possible,
        "slowrun: SwiGLU −0.014 and −0.018; nanochat and Apple silicon: worse"
        => mlp::gated_mlp;

    // Head and loss.
    "softcap", Likely,
        "modded-nanogpt record 18: 30 → 15; nanochat: 20, then 15"
        => head::softcap;
    "no softcap", Likely,
        "autoresearch on Apple silicon: off, with rates 30% lower, −0.020"
        => head::no_softcap;
    "asymmetric cap", Possible,
        "modded-nanogpt record 54: 40 steps fewer; nanochat: slightly worse"
        => head::asymmetric_cap;
    "z-loss", Unlikely,
        "autoresearch on Apple silicon: +0.06, since it is dear there"
        => head::z_loss;

    // Initialisation.
    "scale of matrices", Likely,
        "autoresearch: first values × 0.68, −0.0006 in three steps"
        => initial::matrices;
    "scale of the MLP", Likely,
        "nanochat: the first matrix of the MLP × 0.5, then 0.4"
        => initial::first_of_mlp;
    "scale of the embedding", Possible,
        "nanochat: a standard deviation of 0.8 in the place of 1"
        => initial::embeddings;
    "output matrices", Possible,
        "slowrun −0.006; modded-nanogpt record 64: 1.650 → 1.630 minutes; autoresearch: worse"
        => initial::outputs;

    // Optimizer.
    "optimizer groups", VeryLikely,
        "autoresearch on Apple silicon: rates of matrices −0.023, of scalars −0.031; an H100: −0.0048"
        => optimizer::sites;
    "rate of a group", VeryLikely,
        "autoresearch: of the embedding −0.0033, of the head −0.0010; Apple silicon: of matrices −0.023"
        => adam::single_rates;
    "weight decay", VeryLikely,
        "autoresearch on Apple silicon: 0.2 → 1.5, −0.11 in all; optimizer track: the most sensitive constant"
        => muon::weight_decay;
    "falling weight decay", VeryLikely,
        "slowrun −0.009 and −0.038; nanochat: kept; autoresearch: constant +0.002"
        => muon::falling_decay;
    "cautious weight decay", VeryLikely,
        "autoresearch: without it +0.0055; modded-nanogpt record 43: 40 steps fewer; here +0.004"
        => muon::cautious_decay;
    "weight decay of a group", Likely,
        "autoresearch: 0.001 to 0.003 on embeddings and 0.01 on the head, −0.0017 in all"
        => adam::group_decay;
    "betas of a group", Likely,
        "modded-nanogpt record 52: smoother scalars, 2.075 → 2.037 minutes; nanochat: kept"
        => adam::group_betas;
    "second beta", Likely,
        "autoresearch on Apple silicon: 0.9, −0.037; others 0.99 and 0.999"
        => adam::second_beta;
    "momentum warm-up", Likely,
        "autoresearch: a shorter one −0.0003; nanochat: to 0.97 over 400 steps"
        => muon::momentum_warm_up;
    "momentum cool-down", Possible,
        "nanochat: 0.97 → 0.90 at the end; optimizer track: probably irrelevant"
        => muon::momentum_cool_down;
    "NorMuon", Likely,
        "modded-nanogpt record 41: 2.358 → 2.345 minutes; nanochat: a very small gain; here −0.004"
        => muon::normalized_rows;
    "MuonEq-R", Likely,
        "slowrun −0.003; nanochat: slight; parameter-golf: used"
        => muon::equal_rows;
    "orthogonalisation", Possible,
        "modded-nanogpt record 38: Polar Express, 2.483 → 2.476 minutes; autoresearch: 4 steps +0.001"
        => muon::orthogonalization;
    "Muon by head", Possible,
        "modded-nanogpt record 80: 1.411 → 1.406 minutes"
        => muon::per_head;
    "seldom Adam", Possible,
        "modded-nanogpt record 39: every other step; nanochat: slightly worse by time"
        => adam::seldom;
    "look-ahead", Possible,
        "optimizer track: 40 to 200 steps fewer"
        => steps::look_ahead;
    "clipping", Unlikely,
        "autoresearch, nanochat, Apple silicon: no gain, or worse"
        => steps::clipping;

    // Schedule and averaging.
    "warm-down", Likely,
        "autoresearch: a share of 0.5 → 0.75, −0.0008; Apple silicon 0.4; others 0.6"
        => schedule::warm_down;
    "final rate", Likely,
        "autoresearch: 0 → 0.05, −0.0006; Apple silicon −0.004; nanochat: 0.05"
        => schedule::final_rate;
    "warm-up", Possible,
        "autoresearch, Apple silicon: worse; a GTX 1050 Ti: better; nanochat: 40 steps"
        => schedule::warm_up;
    "schedule", Possible,
        "autoresearch, Apple silicon: linear is best; optimizer track: a power of 1.2"
        => schedule::sites;
    "cool-down of a group", Likely,
        "optimizer track: shares of 0.8 for matrices and 0.4 for Adam, 50 steps fewer"
        => steps::own_cool_down;
    "average of weights", Possible,
        "slowrun −0.012 and −0.018; optimizer track: 30 steps fewer; nanochat, Apple silicon: worse"
        => steps::average_of_tail;
    "mean of weights", Unlikely,
        "slowrun −0.008 and −0.012; autoresearch on Apple silicon: +0.12"
        => steps::mean_of_tail;
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::source;
    use crate::propose::evolve::operators::guest::Guest;
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
            let chars = evidence.chars().count();
            assert!((20..=110).contains(&chars) && !evidence.contains('\n'), "{name}: {evidence}");
        }
    }

    #[test]
    fn levels_of_priors_are_in_order() {
        let priors = [Prior::Unlikely, Prior::Possible, Prior::Likely, Prior::VeryLikely];
        assert_eq!(priors.map(Prior::level), [0, 1, 2, 3]);
    }

    /// Operators compare calls with each other, so a text of nothing but calls is the worst for them.
    #[test]
    fn a_text_full_of_calls_does_not_hold_up_a_night() {
        let lines = |count: usize| {
            let line = "    net.parameter(\"all\", (\"w\", l), t.linear(&net.weight((\"w\", l))).relu());\n";
            format!("fn f(net: &Net) {{\n    for l in 0..N {{\n{}    }}\n}}\nguest!(f, f);\n", line.repeat(count))
        };
        for count in [400, 2500] {
            let text = lines(count);
            let found = source::look(&text, |syntax| {
                let guest = Guest::new(&syntax.file, syntax.text);
                OPERATORS.iter().flat_map(|operator| (operator.sites)(&guest)).count()
            });
            assert_eq!(found.unwrap() == 0, count > 2000, "{count} lines");
        }
    }
}
