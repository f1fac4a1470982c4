//! Experiments at the same time: each in a child of its own, with a thread that listens to it, while the calling thread
//! alone reads and writes the store. Nothing that comes of one depends on the others.

use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::runner::{Ended, Experiment, Stopped};
use crate::record::key::{ExperimentKey, Hash, Manifest};
use crate::record::outcome::Outcome;
use crate::record::store::{ExperimentRecord, Finished, StoreError};
use crate::sandbox::Progress;
use crate::system::clock::unix_ms;
use kernels::session::Checkpoint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// One training run with its evaluation, done now or before.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its key.
    pub key: ExperimentKey,
    /// What it yielded.
    pub outcome: Outcome,
    /// The store's record; none after a host fault, which is not recorded.
    pub record: Option<ExperimentRecord>,
    /// Wall time of training and evaluation; none where the store had it.
    pub wall: Option<Duration>,
}

/// An experiment that the store does not know.
struct Pending<'a> {
    /// Its place in the batch.
    index: usize,
    experiment: Experiment<'a>,
    manifest: Manifest,
    /// Interval and blob of what came so far.
    checkpoints: Vec<(u32, Hash)>,
}

impl Bench {
    /// Trains and scores a batch, all of it at the same time, but for what the store knows; [`Bench::jobs`] says how many
    /// a batch should hold. The runs are recorded when all have ended, in the order of the batch, in which they are
    /// returned. `tell` hears of progress, by place in the batch. Where `stopped` says so, those under way end as
    /// interrupted; what ended before is recorded all the same.
    pub fn run(
        &self,
        batch: &[Experiment],
        tell: &mut dyn FnMut(usize, &Progress),
        stopped: &Stopped,
    ) -> Result<Vec<Run>, BenchError> {
        let (mut runs, mut pending) = (Vec::new(), Vec::new());
        for (index, &experiment) in batch.iter().enumerate() {
            let manifest = self.manifest(experiment.component, experiment.random_seed);
            match self.run_before(&manifest)? {
                Some(run) => runs.push((index, run)),
                None => pending.push(Pending { index, experiment, manifest, checkpoints: Vec::new() }),
            }
        }
        let ended = self.run_pending(&mut pending, tell, stopped)?;
        // Each is recorded, whatever becomes of the others.
        let recorded: Vec<_> = pending.iter().zip(ended).map(|(pending, ended)| self.record(pending, ended)).collect();
        for (pending, run) in pending.iter().zip(recorded) {
            runs.push((pending.index, run?));
        }
        runs.sort_by_key(|(index, _)| *index);
        Ok(runs.into_iter().map(|(_, run)| run).collect())
    }

    /// A record whose blobs are damaged is run again: the same bits mend it.
    pub fn run_before(&self, manifest: &Manifest) -> Result<Option<Run>, BenchError> {
        let key = manifest.key();
        let Some(record) = self.store.find_experiment(&key)? else { return Ok(None) };
        let intact = self.store.outcome(&record).and_then(|outcome| self.store.state(&record).map(|_| outcome));
        match intact {
            Ok(outcome) => Ok(Some(Run { key, outcome, record: Some(record), wall: None })),
            Err(StoreError::Corrupt { .. } | StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores checkpoints as they come. A store that fails stops all: nothing could be recorded.
    fn run_pending(
        &self,
        pending: &mut [Pending],
        tell: &mut dyn FnMut(usize, &Progress),
        stopped: &Stopped,
    ) -> Result<Vec<Ended>, StoreError> {
        let runner = self.runner(pending.len());
        let (failed, mut failure) = (AtomicBool::new(false), None);
        let stopped = || failed.load(Ordering::Relaxed) || stopped();
        let experiments: Vec<_> = pending.iter().map(|p| (p.experiment, p.manifest.key())).collect();
        let work = experiments.iter().enumerate().map(|(i, (experiment, key))| {
            let (runner, stopped) = (&runner, &stopped);
            move |say: &dyn Fn((usize, Progress))| {
                runner.run(experiment, key, &mut |progress| say((i, progress)), stopped)
            }
        });
        let ended = at_the_same_time(work, &mut |(i, progress): (usize, Progress)| {
            let Some(pending) = pending.get_mut(i) else { return };
            let Progress::Checkpoint(checkpoint) = progress else { return tell(pending.index, &progress) };
            match self.put_checkpoint(&checkpoint) {
                Ok(blob) => pending.checkpoints.push((checkpoint.interval, blob)),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    failure.get_or_insert(error);
                }
            }
        });
        failure.map_or(Ok(ended), Err)
    }

    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Hash, StoreError> {
        let bytes = postcard::to_allocvec(checkpoint).map_err(|error| StoreError::BadRecord {
            what: format!("the checkpoint of interval {}", checkpoint.interval),
            reason: error.to_string(),
        })?;
        self.store.put_blob(&bytes)
    }

    /// A host fault is no result and leaves no record.
    fn record(&self, pending: &Pending, ended: Ended) -> Result<Run, BenchError> {
        let Ended { outcome, state, wall } = ended;
        let manifest = &pending.manifest;
        let record = match outcome.status.is_result() {
            true => Some(self.store.record_experiment(&Finished {
                manifest,
                outcome: &outcome,
                state: state.as_deref(),
                checkpoints: &pending.checkpoints,
                finished_unix_ms: unix_ms(),
                wall_ms: wall.as_millis() as i64,
            })?),
            false => None,
        };
        Ok(Run { key: manifest.key(), outcome, record, wall: Some(wall) })
    }
}

/// Does each piece of work in a thread of its own and returns their results in order. What they say meanwhile is heard by
/// the calling thread, for which they wait: checkpoints are too large to pile up.
pub(super) fn at_the_same_time<S: Send, T: Send>(
    work: impl Iterator<Item = impl FnOnce(&dyn Fn(S)) -> T + Send>,
    hear: &mut dyn FnMut(S),
) -> Vec<T> {
    thread::scope(|scope| {
        let (send, said) = mpsc::sync_channel(0);
        let threads: Vec<_> = work
            .map(|piece| {
                let send = send.clone();
                // The other end is there until every thread has ended.
                scope.spawn(move || piece(&|said| drop(send.send(said))))
            })
            .collect();
        drop(send);
        said.into_iter().for_each(hear);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
