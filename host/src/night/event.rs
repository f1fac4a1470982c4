//! The events that a night reports, as data without formatting. Pure.

use crate::data::compress::Compressors;
use crate::record::causality::Causality;
use crate::record::ending::Ending;
use crate::record::key::ExperimentKey;
use crate::record::spend::Spend;
use crate::record::store::{Account, RungSigns};
use crate::record::trial::{Findings, Trial};
use serde::{Deserialize, Serialize, Serializer};

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A fact about the setup of the night: `what` is one word ("corpus"), `text` the rest of the line.
    Setup { what: &'static str, text: String },
    /// A warning, a wait, or the start of slow work.
    Note { text: String },
    /// The machine failed, and the night waits.
    Fault { text: String },
    Started {
        /// Trial number; 0 for the baseline.
        number: u64,
        /// What runs.
        description: String,
    },
    /// Progress of the running experiments, with the figures of the slowest one.
    Progress {
        /// What the run is for.
        role: String,
        /// Share of the budget used, from 0 to 1.
        progress: f64,
        steps: u64,
        /// Last logged loss in nats per token.
        loss: Option<f64>,
        /// Estimated seconds until the training ends, from this machine's speed so far.
        seconds_left: Option<f64>,
        /// Number of experiments that train at the same time.
        at_once: usize,
    },
    /// Candidate and champion have met on one more random seed, and the result is open.
    Seed {
        /// Number of random seeds so far.
        seeds: u32,
        /// The most that the policy allows.
        most: u32,
        /// Candidate minus champion, the mean over these random seeds.
        delta: f64,
        /// Probability that the candidate is better.
        p_better: f64,
    },
    /// The baseline was measured.
    Baseline(Baseline),
    /// A trial was decided.
    Trial(Box<TrialLine>),
    /// Where the night stands now.
    Standing(Standing),
    /// The night has ended.
    Summary(Box<Summary>),
}

/// The seed guest's scores.
#[derive(Clone, Debug, Serialize)]
pub struct Baseline {
    /// Mean bits per byte over random seeds.
    pub bpb: f64,
    /// Standard deviation over random seeds.
    pub noise: f64,
    /// Number of random seeds.
    pub replicas: u32,
    /// Bits per byte of the unigram distribution.
    pub unigram: f64,
    /// Scores of general compressors on the same bytes.
    pub compressors: Compressors,
}

/// One decided trial with the figures that a night reports.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialLine {
    pub trial: Trial,
    /// Seconds since this process began or continued the night.
    pub elapsed_s: f64,
    /// Number of repairs before the trial.
    pub repairs: u32,
    /// Cost of the proposal, including repairs.
    pub spend: Spend,
}

impl Serialize for TrialLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The names are an interface for programs. The order is chosen for people who watch.
        #[derive(Serialize)]
        struct Fields<'a> {
            number: u64,
            elapsed_s: f64,
            bpb: Option<f64>,
            delta: Option<f64>,
            verdict: Ending,
            proposer: &'a str,
            description: &'a str,
            hypothesis: &'a str,
            reason: &'a str,
            p_better: Option<f64>,
            data_bytes: Option<u64>,
            trained_share: Option<f64>,
            experiment: Option<ExperimentKey>,
            repairs: u32,
            spend: Spend,
        }
        let Self { trial, elapsed_s, repairs, spend } = self;
        let Findings { verdict, reason, bpb, delta, p_better, data_bytes, trained_share, experiment, .. } =
            &trial.found;
        Fields {
            number: trial.number,
            elapsed_s: *elapsed_s,
            bpb: *bpb,
            delta: *delta,
            verdict: *verdict,
            proposer: &trial.proposer,
            description: &trial.description,
            hypothesis: &trial.hypothesis,
            reason,
            p_better: *p_better,
            data_bytes: *data_bytes,
            trained_share: *trained_share,
            experiment: *experiment,
            repairs: *repairs,
            spend: *spend,
        }
        .serialize(serializer)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Number of trials that this process has decided.
    pub done: u64,
    /// Expected number of trials of this process, if the night is bounded.
    pub of_about: Option<u64>,
    /// Trial number of the champion; 0 for the baseline.
    pub champion: u64,
    /// Bits per byte of the champion.
    pub champion_bpb: f64,
    /// Seconds until the night ends, if it is bounded.
    pub seconds_left: Option<f64>,
}

/// The results of a night. Counts and duration are those of this process.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Number of trials for each verdict, sorted by name.
    pub verdicts: Vec<(String, u64)>,
    /// Number of repeats by kind of key: source, component, behaviour.
    pub repeats: [u64; 3],
    /// Number of training runs, including replicas.
    pub runs: u64,
    /// What each proposer did and cost in the whole night.
    pub proposers: Vec<Account>,
    pub baseline: Baseline,
    /// Trial number of the champion; 0 if no mutation beat the baseline.
    pub champion: u64,
    /// The champion's change in words.
    pub champion_description: String,
    /// Bits per byte on the search split, which the selection used.
    pub champion_bpb: f64,
    /// Bits per byte on the sealed test split: baseline, then champion.
    pub test_bpb: Option<(f64, f64)>,
    /// How often the test split of this task was read so far.
    pub test_reads: u64,
    /// Experiment key of the champion.
    pub champion_experiment: String,
    /// How often a kept mutation met its predecessor again, on a random seed that its keep did not rest on.
    pub rechecks: u64,
    /// How often it was better there too.
    pub rechecks_held: u64,
    /// For each operator, how often shorter runs had the sign of the whole one.
    pub rungs: Vec<RungSigns>,
    /// How it is known that the champion reads no later token, in its run that has `champion_experiment`.
    pub champion_causality: Option<Causality>,
    /// Text that the champion wrote.
    pub sample: String,
    /// Duration in seconds.
    pub seconds: f64,
    /// Whether Ctrl-C stopped the night.
    pub interrupted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_reads_the_same_in_every_version() {
        let found = Findings { bpb: Some(2.5), reason: "not proven".into(), ..Findings::new(Ending::Noise) };
        let trial = Trial { number: 7, proposer: "evolve".into(), ..Trial::baseline("", found) };
        let line = TrialLine { trial, elapsed_s: 1.5, repairs: 2, spend: Spend::default() };
        assert_eq!(
            serde_json::to_string(&Event::Trial(Box::new(line))).unwrap(),
            "{\"event\":\"trial\",\"number\":7,\"elapsed_s\":1.5,\"bpb\":2.5,\"delta\":null,\"verdict\":\"noise\",\
             \"proposer\":\"evolve\",\"description\":\"baseline\",\"hypothesis\":\"\",\"reason\":\"not proven\",\"p_better\":null,\
             \"data_bytes\":null,\"trained_share\":null,\"experiment\":null,\"repairs\":2,\"spend\":{\"requests\":0,\"input_tokens\":0,\"output_tokens\":0,\"micro_dollars\":0}}"
        );
    }
}
