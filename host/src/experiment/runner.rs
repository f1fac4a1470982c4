//! Runs one experiment from training to outcome, in confined children. It holds no store, so threads can share it.

use crate::data::Split;
use crate::data::task::PreparedTask;
use crate::experiment::bench::Bench;
use crate::guest::component::Component;
use crate::record::key::{ExperimentKey, Hash};
use crate::record::outcome::{GuestFault, HostFault, Outcome, Score, Status, encode_state};
use crate::sandbox::{EvalInput, Evaluated, Progress, Resume, RunSpec, Sandbox, Trained};
use kernels::session::NamedState;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Number of evaluation batches that go through the gates: all of them.
const PROBES: u32 = u32::MAX;

/// Returns whether to stop now. Each thread that waits for a child calls it several times a second.
pub type Stopped<'a> = dyn Fn() -> bool + Sync + 'a;

/// One experiment on a bench.
#[derive(Clone, Copy, Debug)]
pub struct Experiment<'a> {
    pub component: &'a Component,
    /// Decides the initial weights and the batches.
    pub random_seed: u64,
}

/// The result of an experiment.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The outcome, with a score if training completed.
    pub outcome: Outcome,
    /// The final state of the training, encoded.
    pub state: Option<Vec<u8>>,
    /// Wall time of training and evaluation.
    pub wall: Duration,
}

impl Ended {
    /// A run that the system did not let begin.
    pub(super) fn not_started(why: &str) -> Self {
        let Trained { status, curve, totals, intervals, read_log, fuel, .. } =
            Trained::failed(Status::host(HostFault::System, why));
        let outcome = Outcome { status, score: None, curve, totals, intervals, read_log, state: None, fuel };
        Self { outcome, state: None, wall: Duration::ZERO }
    }
}

pub struct Runner<'a> {
    sandbox: &'a Sandbox,
    task: &'a PreparedTask,
    spec: RunSpec,
    forward_ps_per_token: u64,
}

impl Bench {
    /// A runner for each of `at_once` experiments at the same time. They divide the engine's threads, with at least one
    /// thread each. The wall-clock limit grows with their number, because they may share the processor too.
    pub fn runner(&self, at_once: usize) -> Runner<'_> {
        let at_once = u32::try_from(at_once).unwrap_or(u32::MAX).max(1);
        let spec = RunSpec {
            threads: (self.spec.threads / at_once).max(1),
            wall_limit_ms: self.spec.wall_limit_ms.saturating_mul(at_once.into()),
            ..self.spec.clone()
        };
        Runner { sandbox: &self.sandbox, task: &self.task, spec, forward_ps_per_token: self.forward_ps_per_token }
    }
}

impl Runner<'_> {
    /// Trains and scores on the search split. `key` is the key of the experiment. `say` receives progress.
    pub fn run(
        &self,
        experiment: &Experiment,
        key: &ExperimentKey,
        say: &mut dyn FnMut(Progress),
        stopped: &Stopped,
    ) -> Ended {
        let started = Instant::now();
        let Experiment { component, random_seed } = *experiment;
        let mut trained = self.train(component, random_seed, None, &mut |progress| {
            say(progress);
            if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let state = trained.state.as_ref().map(encode_state).transpose().unwrap_or_else(|error| {
            trained = Trained::failed(Status::host(HostFault::Protocol, format!("the child's state: {error}")));
            None
        });
        let outcome = self.outcome(component, key, trained, state.as_deref(), stopped);
        Ended { outcome, state, wall: started.elapsed() }
    }

    /// Runs one training. `resume` limits the replay of a recorded run to one interval.
    pub fn train(
        &self,
        component: &Component,
        random_seed: u64,
        resume: Option<&Resume>,
        on: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Trained {
        let spec = RunSpec { random_seed, ..self.spec.clone() };
        self.sandbox.train(component.bytes(), &spec, &self.task.train, resume, on)
    }

    fn outcome(
        &self,
        component: &Component,
        key: &ExperimentKey,
        trained: Trained,
        state: Option<&[u8]>,
        stopped: &Stopped,
    ) -> Outcome {
        let mut outcome = Outcome {
            status: trained.status,
            score: None,
            curve: trained.curve,
            totals: trained.totals,
            intervals: trained.intervals,
            read_log: trained.read_log,
            state: state.map(|bytes| Hash::of(bytes).0),
            fuel: trained.fuel,
        };
        if let (Status::Completed, Some(state)) = (&outcome.status, &trained.state) {
            match self.evaluate(component, state, Split::Search, probe_seed(key), stopped) {
                Ok(score) => outcome.score = Some(score),
                Err(status) => outcome.status = status,
            }
        }
        outcome
    }

    /// Scores a model on a split.
    ///
    /// # Errors
    /// The status of a failed evaluation. On the search split, a model that is not better than the unigram distribution
    /// fails too.
    pub(super) fn evaluate(
        &self,
        component: &Component,
        state: &NamedState,
        split: Split,
        probe_seed: u64,
        stopped: &Stopped,
    ) -> Result<Score, Status> {
        let chunks = match split {
            Split::Search => &self.task.search,
            Split::Confirm => &self.task.confirm,
            Split::Test => &self.task.test,
        };
        let input = EvalInput {
            chunks: chunks.clone(),
            forward_cap_ps_per_token: self.forward_ps_per_token,
            probe_seed,
            probes: PROBES,
        };
        let mut go_on = || if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let Evaluated { status, chunk_nats, .. } =
            self.sandbox.evaluate(component.bytes(), state, &self.spec, &input, &mut go_on);
        if status != Status::Completed {
            // Of the other splits, not even the place is told.
            return Err(if split == Split::Search { status } else { status.without_words() });
        }
        let score = self.task.score(chunk_nats);
        let unigram = self.task.unigram_bpb;
        if split == Split::Search && score.bpb >= unigram {
            let bpb = if score.bpb > 1e4 { format!("{:.1e}", score.bpb) } else { format!("{:.4}", score.bpb) };
            let words = match self.task.task.commitment {
                None => format!("{bpb} bpb; the unigram distribution reaches {unigram:.4}"),
                Some(_) => format!("{bpb} bpb; the unigram distribution is as good"),
            };
            return Err(Status::guest(GuestFault::NoLearning, words));
        }
        Ok(score)
    }
}

/// Random seed for the positions of the look-ahead probes. It follows from the experiment's key, so that a replay has
/// the same positions.
pub(super) fn probe_seed(key: &ExperimentKey) -> u64 {
    key.0.0.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}
