//! What a night tells whoever watches: data, no formatting. Pure.

use crate::data::compress::Compressors;
use crate::record::ending::Ending;
use crate::record::key::ExperimentKey;
use crate::record::spend::Spend;
use crate::record::store::Account;
use crate::record::trial::{Findings, Trial};
use serde::{Serialize, Serializer};

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

/// One decided trial, as a night tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialLine {
    /// The trial.
    pub trial: Trial,
    /// Seconds since the night began.
    pub elapsed_s: f64,
    /// How often it was repaired before it could be tried.
    pub repairs: u32,
    /// What its proposal cost, repairs included.
    pub spend: Spend,
}

impl Serialize for TrialLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Programs rely on these names; people who watch, on their order.
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
            experiment: Option<ExperimentKey>,
            repairs: u32,
            spend: Spend,
        }
        let Self { trial, elapsed_s, repairs, spend } = self;
        let Findings { verdict, reason, bpb, delta, p_better, experiment, .. } = &trial.found;
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
            experiment: *experiment,
            repairs: *repairs,
            spend: *spend,
        }
        .serialize(serializer)
    }
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
             \"experiment\":null,\"repairs\":2,\"spend\":{\"requests\":0,\"input_tokens\":0,\"output_tokens\":0,\"micro_dollars\":0}}"
        );
    }
}
