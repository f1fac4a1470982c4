//! What this process did of a night.

use crate::night::contest::Judgement;
use crate::night::seen::RepeatKey;
use crate::record::ending::Ending;
use std::time::Duration;

/// What this process did of a night.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Mutations that were trained.
    pub trained: u64,
    /// Trials and how long they took.
    pub decided: Vec<(Ending, Duration)>,
    /// Repeats stopped, by key: source, component, behaviour.
    pub repeats: [u64; 3],
    /// Training runs.
    pub runs: u64,
}

impl Tally {
    pub(super) fn count(&mut self, judged: &Judgement, wall: Duration) {
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
