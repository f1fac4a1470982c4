//! Scores a finished run on the confirm split or the sealed test split. The store records and counts each score.

use crate::data::Split;
use crate::experiment::batch::{Run, at_the_same_time};
use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::runner::{Experiment, Scored, Stopped, draw_probe_seed};
use crate::guest::component::Component;
use crate::record::causality::Causality;
use crate::record::outcome::{HostFault, Score, Status};
use crate::record::store::{ScoreRecord, StoreError};
use crate::system::clock::unix_ms;
use kernels::session::NamedState;

/// Number of further evaluations of a model that is probed, before a keep and for a claim, each with other probes. A
/// rare look at future tokens may pass a single probe per chunk, and a mutation with such a look should not be kept.
const CONFIRM_PROBES: u64 = 6;

impl Bench {
    /// The score of a finished run on a split. Each run reads a split once; later calls return the recorded score.
    pub fn known_score(
        &self,
        component: &Component,
        run: &Run,
        split: Split,
        purpose: &str,
        stopped: &Stopped,
    ) -> Result<Result<Score, Status>, BenchError> {
        let known = undamaged(self.store.scores(&run.key))?;
        match known.into_iter().find(|record| record.split == split.name()) {
            Some(record) => Ok(Ok(record.score)),
            None => self.score_with(component, run, (split, purpose), false, stopped),
        }
    }

    /// Scores a finished run for a mutation that may be kept: with further probes, unless its causality is proved.
    pub fn probed_score(
        &self,
        component: &Component,
        run: &Run,
        split: Split,
        purpose: &str,
        stopped: &Stopped,
    ) -> Result<Result<Score, Status>, BenchError> {
        self.score_with(component, run, (split, purpose), true, stopped)
    }

    /// Scores a finished run, and records the score with its purpose. If its causality is not proved, it may have to
    /// pass further rounds of probes first.
    fn score_with(
        &self,
        component: &Component,
        run: &Run,
        (split, purpose): (Split, &str),
        is_to_be_probed: bool,
        stopped: &Stopped,
    ) -> Result<Result<Score, Status>, BenchError> {
        let Some(record) = &run.record else {
            return Ok(Err(Status::host(HostFault::System, "the run left no state to score")));
        };
        let state = match self.model(component, record, &mut |_| {}, stopped)? {
            Ok(state) => state,
            Err(status) => return Ok(Err(status)),
        };
        let experiment = Experiment { component, random_seed: record.manifest.random_seed };
        let scored = self.runner(1).evaluate(&experiment, &state, split, draw_probe_seed(), stopped);
        let Scored { score, causality } = match scored {
            Ok(scored) => scored,
            Err(status) => return Ok(Err(status)),
        };
        if causality == Causality::Probed
            && is_to_be_probed
            && let Err(status) = self.probe_anew(&experiment, &state, split, stopped)
        {
            return Ok(Err(status));
        }
        self.store.add_score(&ScoreRecord {
            experiment_key: run.key,
            split: split.name().into(),
            score: score.clone(),
            purpose: purpose.into(),
            unix_ms: unix_ms(),
        })?;
        Ok(Ok(score))
    }

    /// Evaluates with the probes of some new random seeds, several at the same time. Returns the failure of the first
    /// failing seed in the order in which they were drawn, so that the result does not depend on timing.
    pub(super) fn probe_anew(
        &self,
        experiment: &Experiment,
        state: &NamedState,
        split: Split,
        stopped: &Stopped,
    ) -> Result<(), Status> {
        let seeds: Vec<u64> = (0..CONFIRM_PROBES).map(|_| draw_probe_seed()).collect();
        for seeds in seeds.chunks(self.jobs.get()) {
            let runner = &self.runner(seeds.len());
            let evaluations = seeds
                .iter()
                .map(|&seed| move |_: &dyn Fn(())| runner.evaluate(experiment, state, split, seed, stopped));
            let evaluated = at_the_same_time(evaluations, &mut |()| ());
            for scored in evaluated {
                scored.map_err(|error| Status::host(HostFault::System, format!("a thread: {error}")))?.map(drop)?;
            }
        }
        Ok(())
    }
}

/// The recorded scores. Returns none if the record is damaged, so that the split is read again.
fn undamaged(read: Result<Vec<ScoreRecord>, StoreError>) -> Result<Vec<ScoreRecord>, StoreError> {
    match read {
        Err(error) if error.is_of_damage() => Ok(Vec::new()),
        read => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_damaged_record_lets_the_sealed_split_be_read_again() {
        let damaged = StoreError::BadRecord { what: "a score".into(), reason: "cut short".into() };
        assert_eq!(undamaged(Err(damaged)).unwrap(), []);
        assert!(matches!(undamaged(Err(StoreError::Full("store".into()))), Err(StoreError::Full(_))));
    }
}
