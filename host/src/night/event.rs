//! What a night tells whoever watches: data, no formatting. Pure.

use crate::data::compress::Compressors;
use crate::record::spend::Spend;
use crate::record::store::Account;
use serde::Serialize;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A line about what the night stands on: `what` is a word ("corpus"), `text` the rest.
    Setup {
        /// One word.
        what: &'static str,
        /// The rest of the line.
        text: String,
    },
    /// Something slow has begun, or a wait, or a warning.
    Note {
        /// The line.
        text: String,
    },
    /// An experiment has begun.
    Started {
        /// Trial number; 0 for the baseline.
        number: u64,
        /// What is being run.
        description: String,
    },
    /// Experiments are under way; the slowest one's figures.
    Progress {
        /// What its run is for.
        role: String,
        /// Share of its budget used.
        progress: f64,
        /// Steps so far.
        steps: u64,
        /// Last logged loss in nats per token.
        loss: Option<f64>,
        /// Seconds left until it is trained, by this machine's speed so far.
        seconds_left: Option<f64>,
        /// Experiments that train at the same time.
        at_once: usize,
    },
    /// The baseline is measured.
    Baseline(Baseline),
    /// A trial is decided.
    Trial(Box<TrialLine>),
    /// Where the night stands.
    Standing(Standing),
    /// The night is over.
    Summary(Box<Summary>),
}

/// The seed guest's scores.
#[derive(Clone, Debug, Serialize)]
pub struct Baseline {
    /// Mean bits per byte over random seeds.
    pub bpb: f64,
    /// Standard deviation over random seeds.
    pub noise: f64,
    /// Random seeds.
    pub replicas: u32,
    /// Bits per byte of the unigram distribution.
    pub unigram: f64,
    /// What compressors reach on the same bytes.
    pub compressors: Compressors,
}

/// One decided trial.
#[derive(Clone, Debug, Serialize)]
pub struct TrialLine {
    /// Its number.
    pub number: u64,
    /// Seconds since the night began.
    pub elapsed_s: f64,
    /// Bits per byte on the search split, where it was scored.
    pub bpb: Option<f64>,
    /// Difference to the champion on the same random seeds.
    pub delta: Option<f64>,
    /// keep, discard, noise, same, refused, failed.
    pub verdict: String,
    /// Who proposed it.
    pub proposer: String,
    /// The change in words.
    pub description: String,
    /// What its author claims.
    pub hypothesis: String,
    /// Why.
    pub reason: String,
    /// P(better), where estimated.
    pub p_better: Option<f64>,
    /// The experiment, where one ran: what `host show` and `host replay` take.
    pub experiment: Option<String>,
    /// How often it was repaired before it could be tried.
    pub repairs: u32,
    /// What its proposal cost, repairs included.
    pub spend: Spend,
}

/// Where the night stands.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// Trials decided in this night.
    pub done: u64,
    /// Trials that it is expected to reach, where it is bounded.
    pub of_about: Option<u64>,
    /// Champion's trial number; 0: the baseline.
    pub champion: u64,
    /// Champion's bits per byte.
    pub champion_bpb: f64,
    /// Seconds left of the night.
    pub seconds_left: Option<f64>,
}

/// What a night yields.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Trials by verdict, in order of name.
    pub verdicts: Vec<(String, u64)>,
    /// Repeats stopped, by key: source, component, behaviour.
    pub repeats: [u64; 3],
    /// Training runs, replicas and fresh seeds included.
    pub runs: u64,
    /// What each proposer did and cost, over the whole night.
    pub proposers: Vec<Account>,
    /// Baseline.
    pub baseline: Baseline,
    /// Champion's trial number; 0: nothing beat the noise floor.
    pub champion: u64,
    /// The champion's change in words.
    pub champion_description: String,
    /// Bits per byte on the search split, on which it was selected.
    pub champion_bpb: f64,
    /// Bits per byte on the sealed test split: baseline and champion.
    pub test_bpb: Option<(f64, f64)>,
    /// How often the test split of this task was read so far.
    pub test_reads: u64,
    /// Champion's experiment.
    pub champion_experiment: String,
    /// Text that the champion wrote.
    pub sample: String,
    /// Seconds that the night took.
    pub seconds: f64,
    /// Stopped by Ctrl-C.
    pub interrupted: bool,
}
