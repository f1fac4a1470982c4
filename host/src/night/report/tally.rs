//! Counts what this process did in a night.

use crate::night::trial::contest::Judgement;
use crate::night::trial::seen::RepeatKey;
use crate::record::ending::Ending;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Number of trained mutations.
    pub trained: u64,
    /// Ending and duration of each trial.
    pub decided: Vec<(Ending, Duration)>,
    /// Number of repeats by kind of key: source, component, behaviour.
    pub repeats: [u64; 3],
    /// Number of training runs.
    pub runs: u64,
}

impl Tally {
    pub(in crate::night) fn count(&mut self, judged: &Judgement, wall: Duration) {
        self.runs += judged.trained;
        self.trained += u64::from(judged.candidate.is_some());
        self.decided.push((judged.found.verdict, wall));
        if let Some((key, _)) = judged.repeats {
            let slot = match key {
                RepeatKey::Source => 0,
                RepeatKey::Component => 1,
                RepeatKey::Behaviour => 2,
            };
            self.repeats[slot] += 1;
        }
    }
}
