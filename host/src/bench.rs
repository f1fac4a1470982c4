//! The bench: what all experiments of one context share (task, budget, limits, compiler, sandbox, store), and the way
//! of one mutation through it: source → component → dry run → training → evaluation → outcome → store. Each step asks
//! first whether it was done before.

use crate::component::{self, Component};
use crate::data::compress::Compressors;
use crate::data::task::PreparedTask;
use crate::key::{BehaviourKey, CONTRACT, ContextKey, ExperimentKey, Hash, Manifest, ProfileHash, SourceKey};
use crate::outcome::{HostFault, Outcome, Score, StateError, Status, encode_state};
use crate::sandbox::{DryRun, EvalInput, Evaluated, Progress, Resume, RunSpec, Sandbox, Trained};
use crate::select::SelectError;
use crate::source::{Source, SourceError};
use crate::store::{ComponentRecord, ExperimentRecord, Finished, ScoreRecord, Store, StoreError};
use crate::toolchain::{CompileError, Toolchain};
use kernels::session::{Checkpoint, NamedState};
use std::ops::ControlFlow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Batches of an evaluation that go through the gates: all of them.
const PROBES: u32 = u32::MAX;

/// Further evaluations of the confirm split, each with cuts of its own: a look at the future that is rare enough to slip
/// past one cut per chunk should not be kept.
const CONFIRM_PROBES: u64 = 6;

/// Which held-out text a score is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Read for every experiment.
    Search,
    /// Read before a keep.
    Confirm,
    /// Read once a night, for the report.
    Test,
}

impl Split {
    /// Its name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Confirm => "confirm",
            Self::Test => "test",
        }
    }
}

/// A mutation that passed the dry run.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The text as its author wrote it.
    pub text: String,
    /// Key of the parsed and printed text.
    pub source_key: SourceKey,
    /// What it compiles to.
    pub component: Component,
    /// What the dry run found.
    pub dry_run: DryRun,
    /// Absent where the guest reads values.
    pub behaviour: Option<BehaviourKey>,
}

/// What kept the bench from doing its work: nothing that a mutation did.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A state that cannot be encoded.
    #[error("the state that training left cannot be stored: {0}")]
    State(#[from] StateError),
    /// Scores that cannot be compared.
    #[error(transparent)]
    Select(#[from] SelectError),
}

/// Why a mutation was not trained.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its text.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its compilation.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// This bench only replays.
    #[error("this bench has no compiler")]
    NoCompiler,
    /// Its component or its dry run.
    #[error("{}", describe(.0))]
    Run(Status),
    /// Nothing that the mutation did.
    #[error(transparent)]
    Bench(#[from] BenchError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Bench(error.into())
    }
}

/// A status in words.
pub fn describe(status: &Status) -> String {
    match status {
        Status::Completed => "completed".into(),
        Status::GuestFault { kind, message } => format!("{kind}: {message}"),
        Status::HostFault { kind, message } => format!("{kind}: {message}"),
    }
}

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

/// What a running experiment is asked now and then: go on?
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// See the module.
pub struct Bench {
    /// Where everything is filed.
    pub store: Store,
    /// Compiles guests; absent where stored experiments are only run again.
    pub toolchain: Option<Toolchain>,
    /// Runs them.
    pub sandbox: Sandbox,
    /// What is learnt.
    pub task: PreparedTask,
    /// What compressors reach on the scored text; absent where stored experiments are only run again.
    pub compressors: Option<Compressors>,
    /// What each run is given; its random seed is set per run.
    pub spec: RunSpec,
    /// What `forward` may cost per token, from the seed guest's; 0 while that is being measured: no cap.
    pub forward_ps_per_token: u64,
}

impl Bench {
    /// Another bench on the same store, for another thread.
    pub fn twin(&self) -> Result<Self, StoreError> {
        Ok(Self {
            store: Store::open(self.store.dir())?,
            toolchain: self.toolchain.clone(),
            sandbox: self.sandbox.clone(),
            task: self.task.clone(),
            compressors: self.compressors,
            spec: self.spec.clone(),
            forward_ps_per_token: self.forward_ps_per_token,
        })
    }

    /// The manifest of an experiment on this bench.
    pub fn manifest(&self, component: &Component, random_seed: u64) -> Manifest {
        Manifest {
            component: component.key(),
            task: self.task.hash(),
            budget_ps: self.spec.budget_ps,
            profile: ProfileHash::new(&self.spec.profile),
            limits: self.spec.limits.clone(),
            forward_ps_per_token: self.forward_ps_per_token,
            eval_rows: self.spec.eval_rows,
            random_seed,
            numerics: kernels::cpu::CLASS.into(),
            contract: CONTRACT.into(),
            intervals: self.spec.intervals,
        }
    }

    /// The terms on which guests compete on this bench; the component does not enter it.
    pub fn context_key(&self, component: &Component) -> ContextKey {
        self.manifest(component, 0).context_key()
    }

    /// Parses and compiles; a source that was compiled before, in any layout, is not compiled again.
    pub fn compile(&self, source: &Source) -> Result<Component, Refusal> {
        let toolchain = self.toolchain.as_ref().ok_or(Refusal::NoCompiler)?;
        let compile_key = toolchain.compile_key(source);
        if let Some(component) = self.compiled_before(&compile_key)? {
            return Ok(component);
        }
        let core = toolchain.compile(source)?;
        let component = component::componentise(&core)
            .map_err(|error| Refusal::Run(Status::guest(error.fault(), error.to_string())))?;
        let record = ComponentRecord {
            component_key: component.key(),
            component_blob: self.store.put_blob(component.bytes())?,
            source_key: source.key(),
            source_blob: self.store.put_blob(source.text().as_bytes())?,
            compiler: toolchain.version(),
        };
        self.store.put_component(&compile_key, &record)?;
        Ok(component)
    }

    /// A memo whose blob is damaged or missing is no memo: compiling again mends it.
    fn compiled_before(&self, key: &crate::key::CompileKey) -> Result<Option<Component>, Refusal> {
        let Some(record) = self.store.find_component(key)? else { return Ok(None) };
        let bytes = match self.store.get_blob(&record.component_blob) {
            Ok(bytes) => bytes,
            Err(StoreError::Corrupt { .. } | StoreError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Component::from_bytes(&bytes).ok())
    }

    /// Runs dry: milliseconds that find what training would run into.
    pub fn dry_run(&self, text: &str, source_key: SourceKey, component: Component) -> Result<Candidate, Refusal> {
        let manifest = self.manifest(&component, 0);
        let found = match self.store.find_dry_run(&manifest.dry_run_key())? {
            Some(found) => found,
            None => {
                let found = match self.sandbox.dry_run(component.bytes(), &self.spec) {
                    Ok(facts) => Ok(facts),
                    Err(Status::GuestFault { kind, message }) => Err((kind, message)),
                    Err(status) => return Err(Refusal::Run(status)),
                };
                self.store.put_dry_run(&manifest, &found)?;
                found
            }
        };
        let dry_run = found.map_err(|(kind, message)| Refusal::Run(Status::GuestFault { kind, message }))?;
        let behaviour = BehaviourKey::new(&dry_run);
        Ok(Candidate { text: text.into(), source_key, component, dry_run, behaviour })
    }

    /// From text to candidate in one go.
    pub fn prepare(&self, text: &str) -> Result<Candidate, Refusal> {
        let source = Source::parse(text)?;
        let component = self.compile(&source)?;
        self.dry_run(text, source.key(), component)
    }

    /// Trains and scores on one random seed, unless the store knows what comes of it.
    pub fn run(&self, candidate: &Candidate, random_seed: u64, watch: &mut Watch) -> Result<Run, BenchError> {
        let manifest = self.manifest(&candidate.component, random_seed);
        if let Some(run) = self.run_before(&manifest)? {
            return Ok(run);
        }
        let started = Instant::now();
        let mut checkpoints = Vec::new();
        let mut failed = None;
        let trained = self.train(&candidate.component, random_seed, &mut |progress| {
            if let Progress::Checkpoint(checkpoint) = &progress {
                match self.put_checkpoint(checkpoint) {
                    Ok(blob) => checkpoints.push((checkpoint.interval, blob)),
                    Err(error) => {
                        failed = Some(error);
                        return ControlFlow::Break(());
                    }
                }
            }
            watch(progress)
        });
        if let Some(error) = failed {
            return Err(error.into());
        }
        let state = match trained.state.as_ref().map(encode_state).transpose() {
            Ok(state) => state,
            Err(error) => return Err(BenchError::State(error)),
        };
        let outcome = self.evaluated(&candidate.component, random_seed, trained, state.as_deref());
        let wall = started.elapsed();
        let key = manifest.key();
        if !outcome.status.is_result() {
            return Ok(Run { key, outcome, record: None, wall: Some(wall) });
        }
        let record = self.store.record_experiment(&Finished {
            manifest: &manifest,
            outcome: &outcome,
            state: state.as_deref(),
            checkpoints: &checkpoints,
            finished_unix_ms: unix_ms(),
            wall_ms: wall.as_millis() as i64,
        })?;
        Ok(Run { key, outcome, record: Some(record), wall: Some(wall) })
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

    fn put_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Hash, StoreError> {
        let bytes = postcard::to_allocvec(checkpoint).map_err(|error| StoreError::BadRecord {
            what: format!("the checkpoint of interval {}", checkpoint.interval),
            reason: error.to_string(),
        })?;
        self.store.put_blob(&bytes)
    }

    /// One training run, nothing stored.
    pub fn train(&self, component: &Component, random_seed: u64, watch: &mut Watch) -> Trained {
        let spec = RunSpec { random_seed, ..self.spec.clone() };
        self.sandbox.train(component.bytes(), &spec, &self.task.train, None, watch)
    }

    /// One interval of a recorded run, nothing stored.
    pub fn resume(&self, component: &Component, random_seed: u64, resume: &Resume, watch: &mut Watch) -> Trained {
        let spec = RunSpec { random_seed, ..self.spec.clone() };
        self.sandbox.train(component.bytes(), &spec, &self.task.train, Some(resume), watch)
    }

    /// The outcome of a training run: scored on the search split where training ended well.
    pub fn evaluated(
        &self,
        component: &Component,
        random_seed: u64,
        trained: Trained,
        state: Option<&[u8]>,
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
            match self.evaluate(component, state, Split::Search, self.probe_seed(component, random_seed)) {
                Ok(score) => outcome.score = Some(score),
                Err(status) => outcome.status = status,
            }
        }
        outcome
    }

    /// Places the probes of the look-ahead gate: known to no guest, the same in every replay.
    fn probe_seed(&self, component: &Component, random_seed: u64) -> u64 {
        let key = self.manifest(component, random_seed).key();
        key.0.0.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }

    fn evaluate(
        &self,
        component: &Component,
        state: &NamedState,
        split: Split,
        probe_seed: u64,
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
        let Evaluated { status, chunk_nats, .. } = self.sandbox.evaluate(component.bytes(), state, &self.spec, &input);
        if status != Status::Completed {
            return Err(status);
        }
        let score = self.task.score(chunk_nats);
        if split == Split::Search && score.bpb >= self.task.unigram_bpb {
            return Err(Status::guest(
                crate::outcome::GuestFault::NoLearning,
                format!("{:.4} bpb; the unigram distribution reaches {:.4}", score.bpb, self.task.unigram_bpb),
            ));
        }
        Ok(score)
    }

    /// Scores a finished run on a split other than the one searched on. Each look is recorded and counted.
    pub fn score(
        &self,
        component: &Component,
        run: &Run,
        split: Split,
        purpose: &str,
    ) -> Result<Result<Score, Status>, BenchError> {
        let state = match &run.record {
            Some(record) => self.store.state(record)?,
            None => None,
        };
        let Some(state) = state else {
            return Ok(Err(Status::host(HostFault::System, "the run left no state to score")));
        };
        let probe_seed = run.record.as_ref().map_or(0, |record| record.manifest.random_seed);
        let probe_seed = self.probe_seed(component, probe_seed);
        if split == Split::Confirm {
            for round in 1..=CONFIRM_PROBES {
                if let Err(status) = self.evaluate(component, &state, split, probe_seed.wrapping_add(round)) {
                    return Ok(Err(status));
                }
            }
        }
        let scored = self.evaluate(component, &state, split, probe_seed);
        if let Ok(score) = &scored {
            self.store.add_score(&ScoreRecord {
                experiment_key: run.key,
                split: split.name().into(),
                score: score.clone(),
                purpose: purpose.into(),
                unix_ms: unix_ms(),
            })?;
        }
        Ok(scored)
    }
}

/// Milliseconds since 1970, for records that people read; never part of a key or a result.
pub fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}
