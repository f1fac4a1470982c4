//! Runs a batch of experiments at the same time. Each experiment runs in its own child process, with a thread that
//! reads its messages. Only the calling thread uses the store. No result depends on another experiment of the batch.

use crate::experiment::bench::{Bench, BenchError};
use crate::experiment::ended::Ended;
use crate::experiment::fleet::News;
use crate::experiment::runner::{Experiment, Stopped, draw_probe_seed};
use crate::record::key::{ExperimentKey, Hash, Manifest};
use crate::record::outcome::Outcome;
use crate::record::store::{ExperimentRecord, Finished, StoreError};
use crate::sandbox::Progress;
use crate::sandbox::backend::Traffic;
use crate::system::clock::unix_ms;
use kernels::session::Checkpoint;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// One training run with its evaluation, new or from the store.
#[derive(Clone, Debug)]
pub struct Run {
    pub key: ExperimentKey,
    pub outcome: Outcome,
    /// The store's record. `None` after a host fault, which is not recorded.
    pub record: Option<ExperimentRecord>,
    /// Wall time of training and evaluation. `None` if the run came from the store.
    pub wall: Option<Duration>,
    /// What training moved between host and device, if it ran on a device now.
    pub traffic: Option<Traffic>,
}

/// An experiment that is not in the store yet.
struct Pending<'a> {
    /// Index in the batch.
    index: usize,
    experiment: Experiment<'a>,
    manifest: Manifest,
    /// Of the record that this run mends, or drawn.
    probe_seed: u64,
    /// Interval and blob of each checkpoint so far.
    checkpoints: Vec<(u32, Hash)>,
}

impl Bench {
    /// Trains and scores a batch, all experiments at the same time, except those that the store has already. A batch
    /// should hold at most [`Bench::jobs`] experiments. When all have ended, records them and returns them, both in the
    /// order of the batch. `tell` receives progress with the index in the batch. If `stopped` returns true, the running
    /// experiments end as interrupted; those that ended before are still recorded. A fleet, if the bench has one, runs
    /// them elsewhere.
    pub fn run(
        &self,
        batch: &[Experiment],
        tell: &mut dyn FnMut(usize, &Progress),
        stopped: &Stopped,
    ) -> Result<Vec<Run>, BenchError> {
        if let Some(fleet) = &self.fleet {
            let awaited =
                batch.iter().map(|experiment| self.ask(&**fleet, experiment)).collect::<Result<Vec<_>, _>>()?;
            let mut take = |(index, awaited)| {
                let mut say = |news: News| match news {
                    News::Progress(progress) => tell(index, progress),
                    News::Note(_) => {}
                };
                self.take(awaited, &mut say, stopped)
            };
            return awaited.into_iter().enumerate().map(&mut take).collect();
        }
        let (mut runs, mut pending) = (Vec::new(), Vec::new());
        for (index, &experiment) in batch.iter().enumerate() {
            let manifest = self.manifest(experiment.component, experiment.random_seed);
            match self.run_before(&manifest)? {
                Some(run) => runs.push((index, run)),
                None => {
                    let probe_seed = self.recorded_probe_seed(&manifest)?.unwrap_or_else(draw_probe_seed);
                    pending.push(Pending { index, experiment, manifest, probe_seed, checkpoints: Vec::new() });
                }
            }
        }
        let ended = self.run_pending(&mut pending, tell, stopped)?;
        // Record all of them, even if recording one fails.
        let recorded: Vec<_> = pending
            .iter()
            .zip(ended)
            .map(|(pending, ended)| self.record(&pending.manifest, &pending.checkpoints, ended))
            .collect();
        for (pending, run) in pending.iter().zip(recorded) {
            runs.push((pending.index, run?));
        }
        runs.sort_by_key(|(index, _)| *index);
        Ok(runs.into_iter().map(|(_, run)| run).collect())
    }

    /// The run in the store, if its blobs are intact; its model may have been let go. A damaged run is not returned: a
    /// new run produces the same bits and repairs the record.
    pub fn run_before(&self, manifest: &Manifest) -> Result<Option<Run>, BenchError> {
        let key = manifest.key();
        let Some(record) = self.store.find_experiment(&key)? else { return Ok(None) };
        let intact = self.store.outcome(&record).and_then(|outcome| self.store.model(&record).map(|_| outcome));
        match intact {
            Ok(outcome) => Ok(Some(Run { key, outcome, record: Some(record), wall: None, traffic: None })),
            Err(StoreError::Corrupt { .. } | StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The random seed of the probes of a damaged record, which a new run mends.
    pub(super) fn recorded_probe_seed(&self, manifest: &Manifest) -> Result<Option<u64>, StoreError> {
        let recorded = self.store.find_experiment(&manifest.key())?.and_then(|record| record.evaluation);
        Ok(recorded.map(|evaluation| evaluation.probe_seed))
    }

    /// Runs the experiments and stores their checkpoints as they arrive. A failure of the store stops all of them,
    /// because no result could be recorded.
    fn run_pending(
        &self,
        pending: &mut [Pending],
        tell: &mut dyn FnMut(usize, &Progress),
        stopped: &Stopped,
    ) -> Result<Vec<Ended>, StoreError> {
        let runner = self.runner(pending.len());
        let (failed, mut failure) = (AtomicBool::new(false), None);
        let stopped = || failed.load(Ordering::Relaxed) || stopped();
        let experiments: Vec<_> = pending.iter().map(|p| (p.experiment, p.probe_seed)).collect();
        let work = experiments.iter().enumerate().map(|(i, &(ref experiment, probe_seed))| {
            let (runner, stopped) = (&runner, &stopped);
            move |say: &dyn Fn((usize, Progress))| {
                runner.run(experiment, probe_seed, &mut |progress| say((i, progress)), stopped)
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
        let not_started = |error: io::Error| Ended::not_started(&format!("a thread: {error}"));
        let ended = ended.into_iter().map(|ended| ended.unwrap_or_else(not_started)).collect();
        failure.map_or(Ok(ended), Err)
    }

    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Hash, StoreError> {
        let bytes = postcard::to_allocvec(checkpoint).map_err(|error| StoreError::BadRecord {
            what: format!("the checkpoint of interval {}", checkpoint.interval),
            reason: error.to_string(),
        })?;
        self.store.put_blob(&bytes)
    }

    /// Records a run. A host fault is not a result, so it leaves no record.
    pub(super) fn record(
        &self,
        manifest: &Manifest,
        checkpoints: &[(u32, Hash)],
        ended: Ended,
    ) -> Result<Run, BenchError> {
        let Ended { outcome, state, evaluation, traffic, wall, word } = ended;
        let record = match outcome.status.is_result() {
            true => Some(self.store.record_experiment(&Finished {
                manifest,
                outcome: &outcome,
                state: state.as_deref(),
                checkpoints,
                evaluation,
                finished_unix_ms: unix_ms(),
                wall_ms: wall.as_millis() as i64,
                word: word.as_deref(),
            })?),
            false => {
                self.store.remove_unnamed(checkpoints.iter().map(|(_, blob)| *blob).collect())?;
                None
            }
        };
        Ok(Run { key: manifest.key(), outcome, record, wall: Some(wall), traffic })
    }
}

/// Does each piece of work in its own thread and returns the results in order; an error if the system gave no thread.
/// `hear` receives the messages on the calling thread. A sender waits until its message is received, because
/// checkpoints are too large to queue.
pub(super) fn at_the_same_time<S: Send, T: Send>(
    work: impl Iterator<Item = impl FnOnce(&dyn Fn(S)) -> T + Send>,
    hear: &mut dyn FnMut(S),
) -> Vec<io::Result<T>> {
    thread::scope(|scope| {
        let (send, said) = mpsc::sync_channel(0);
        let threads: Vec<_> = work
            .map(|piece| {
                let send = send.clone();
                // The receiver lives until every thread has ended.
                thread::Builder::new().spawn_scoped(scope, move || piece(&|said| drop(send.send(said))))
            })
            .collect();
        drop(send);
        said.into_iter().for_each(hear);
        threads
            .into_iter()
            .map(|thread| Ok(thread?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
            .collect()
    })
}
