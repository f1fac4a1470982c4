//! A trial, from the store to the screen: one mutation, who proposed it, and what came of it. Plain data.

use crate::record::ending::Ending;
use crate::record::key::{BehaviourKey, ComponentKey, ExperimentKey, Hash, SourceKey};
use serde::Serialize;

/// A mutation that was tried. Its JSON is what `host log --json` shows of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Number within its context, from 1; the baseline is 0.
    pub number: u64,
    /// When it was decided.
    pub unix_ms: i64,
    /// Who proposed.
    pub proposer: String,
    /// Number of the trial whose source was changed.
    pub parent: u64,
    /// Number of the champion that it was measured against.
    pub champion: u64,
    /// Its answer in the store, where a proposer of the night wrote it.
    #[serde(skip)]
    pub proposal: Option<i64>,
    /// Blob of the source as proposed.
    #[serde(skip)]
    pub source_blob: Hash,
    /// What its author claimed; empty where nobody said.
    pub hypothesis: String,
    /// The change, in one line.
    pub description: String,
    /// Which kind of change, as its proposer calls it.
    pub operator: String,
    /// What the trial found out.
    #[serde(flatten)]
    pub found: Findings,
    /// How long it took, from proposal to verdict.
    pub wall_ms: i64,
}

/// What a trial found out. What an early stop never learnt is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// How it ended.
    pub verdict: Ending,
    /// Why; for a fault with the guest's line. May hold a guest's own words, and may be empty.
    pub reason: String,
    /// Bits per byte of the screening run.
    pub bpb: Option<f64>,
    /// Candidate less champion on the same random seeds: negative is better.
    pub delta: Option<f64>,
    /// Posterior probability that it is better.
    pub p_better: Option<f64>,
    /// Key of the source, where it parses.
    pub source_key: Option<SourceKey>,
    /// Key of the component, where it compiles.
    pub component_key: Option<ComponentKey>,
    /// Key of the behaviour, where it has one.
    pub behaviour_key: Option<BehaviourKey>,
    /// The screening run, where it came to a result.
    pub experiment: Option<ExperimentKey>,
    /// Most tensor bytes alive at once, by the dry run.
    pub peak_bytes: Option<u64>,
}

impl Findings {
    /// Of a trial that learnt nothing but its verdict.
    pub fn new(verdict: Ending) -> Self {
        Self {
            verdict,
            reason: String::new(),
            bpb: None,
            delta: None,
            p_better: None,
            source_key: None,
            component_key: None,
            behaviour_key: None,
            experiment: None,
            peak_bytes: None,
        }
    }
}

impl Trial {
    /// The text that a night starts from, as trial 0: nobody proposed it, and nothing was there to beat.
    pub fn baseline(source: &str, found: Findings) -> Self {
        Self {
            number: 0,
            unix_ms: 0,
            proposer: String::new(),
            parent: 0,
            champion: 0,
            proposal: None,
            source_blob: Hash::of(source.as_bytes()),
            hypothesis: String::new(),
            description: "baseline".into(),
            operator: String::new(),
            found,
            wall_ms: 0,
        }
    }

    /// Whether it became the champion.
    pub fn is_kept(&self) -> bool {
        self.found.verdict == Ending::Keep
    }
}
