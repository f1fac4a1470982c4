//! Runs one experiment from training to outcome, in confined children. It holds no store, so threads can share it.

use crate::data::Split;
use crate::data::task::PreparedTask;
use crate::experiment::bench::Bench;
use crate::experiment::ended::Ended;
use crate::experiment::runtime::settings;
use crate::guest::component::Component;
use crate::record::causality::{Causality, Evaluation};
use crate::record::key::Hash;
use crate::record::outcome::{GuestFault, HostFault, Outcome, Score, Status, encode_state};
use crate::sandbox::{EvalInput, Evaluated, Progress, Resume, RunSpec, Sandbox, Trained};
use kernels::session::NamedState;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::time::Instant;

/// Returns whether to stop now. Each thread that waits for a child calls it several times a second.
pub type Stopped<'a> = dyn Fn() -> bool + Sync + 'a;

/// One experiment on a bench.
#[derive(Clone, Copy, Debug)]
pub struct Experiment<'a> {
    pub component: &'a Component,
    /// Decides the initial weights, the batches, and the random bytes of a runtime.
    pub random_seed: u64,
}

/// A score, and how it is known that it is causal.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    pub score: Score,
    pub causality: Causality,
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
        Runner::new(&self.sandbox, &self.task, spec, self.forward_ps_per_token)
    }
}

impl<'a> Runner<'a> {
    /// A runner without a bench.
    pub fn new(sandbox: &'a Sandbox, task: &'a PreparedTask, spec: RunSpec, forward_ps_per_token: u64) -> Self {
        Self { sandbox, task, spec, forward_ps_per_token }
    }

    /// Trains and scores on the search split. `probe_seed` decides the probes where there is no proof. `say` receives
    /// progress.
    pub fn run(
        &self,
        experiment: &Experiment,
        probe_seed: u64,
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
        let traffic = trained.traffic;
        let (outcome, causality) = self.outcome(experiment, probe_seed, trained, state.as_deref(), stopped);
        let evaluation = causality.map(|causality| Evaluation { causality, probe_seed });
        Ended { outcome, state, evaluation, traffic, wall: started.elapsed(), word: None }
    }

    /// Runs one training. `resume` limits the replay of a recorded run to one interval.
    pub fn train(
        &self,
        component: &Component,
        random_seed: u64,
        resume: Option<&Resume>,
        on: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Trained {
        let spec = settings(&self.spec, component, random_seed);
        self.sandbox.train(component.bytes(), &spec, &self.task.train, resume, on)
    }

    fn outcome(
        &self,
        experiment: &Experiment,
        probe_seed: u64,
        trained: Trained,
        state: Option<&[u8]>,
        stopped: &Stopped,
    ) -> (Outcome, Option<Causality>) {
        let mut causality = None;
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
            match self.evaluate(experiment, state, Split::Search, probe_seed, stopped) {
                Ok(Scored { score, causality: known }) => {
                    outcome.score = Some(score);
                    causality = Some(known);
                }
                Err(status) => {
                    causality = status.is_result().then_some(Causality::Probed);
                    outcome.status = status;
                }
            }
        }
        (outcome, causality)
    }

    /// Scores the model of an experiment on a split.
    ///
    /// # Errors
    /// The status of a failed evaluation. On the search split, a model that is not better than the unigram distribution
    /// fails too.
    pub(super) fn evaluate(
        &self,
        experiment: &Experiment,
        state: &NamedState,
        split: Split,
        probe_seed: u64,
        stopped: &Stopped,
    ) -> Result<Scored, Status> {
        let chunks = match split {
            Split::Search => &self.task.search,
            Split::Confirm => &self.task.confirm,
            Split::Test => &self.task.test,
        };
        let input =
            EvalInput { chunks: chunks.clone(), forward_cap_ps_per_token: self.forward_ps_per_token, probe_seed };
        let mut go_on = || if stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let Experiment { component, random_seed } = *experiment;
        let spec = settings(&self.spec, component, random_seed);
        let Evaluated { status, chunk_nats, causality, .. } =
            self.sandbox.evaluate(component.bytes(), state, &spec, &input, &mut go_on);
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
        Ok(Scored { score, causality })
    }
}

/// A random seed for probes, from the system. It is drawn after the source is fixed, so that no source can be written
/// to pass them.
pub(super) fn draw_probe_seed() -> u64 {
    // The standard library's hash maps have the same source.
    RandomState::new().build_hasher().finish()
}
