//! The bench: what all experiments of one context share (task, budget, limits, compiler, sandbox, store), and the way
//! of a mutation through it. Each step asks first whether it was done before.
//!
//! ```text
//! here     source → component → dry run: a candidate
//! batch    experiments at the same time, recorded together
//! runner   training → evaluation → outcome, of one of them; knows no store
//! score    a finished run on the other splits
//! ```

use crate::data::compress::Compressors;
use crate::data::task::PreparedTask;
use crate::experiment::judge::SelectError;
use crate::guest::component::{self, Component};
use crate::guest::source::{Source, SourceError};
use crate::guest::toolchain::{CompileError, Toolchain};
use crate::propose::facts;
use crate::record::dry_run::DryRun;
use crate::record::key::{BehaviourKey, CONTRACT, CompileKey, ContextKey, Manifest, ProfileHash, SourceKey};
use crate::record::outcome::{GuestFault, Status};
use crate::record::store::{ComponentRecord, Store, StoreError};
use crate::sandbox::{RunSpec, Sandbox};
use std::num::NonZeroUsize;

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
    #[error("{0}")]
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
    /// What each run is given; its random seed is set per run, its share of the threads per batch.
    pub spec: RunSpec,
    /// Experiments that may run at the same time; never changes a result.
    pub jobs: NonZeroUsize,
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
            jobs: self.jobs,
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
    fn compiled_before(&self, key: &CompileKey) -> Result<Option<Component>, Refusal> {
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
        self.can_pay_for_forward(&dry_run)?;
        let behaviour = BehaviourKey::new(&dry_run);
        Ok(Candidate { text: text.into(), source_key, component, dry_run, behaviour })
    }

    /// Evaluation would find a too expensive `forward` only after the training.
    fn can_pay_for_forward(&self, dry_run: &DryRun) -> Result<(), Refusal> {
        let (cost, cap) = (dry_run.forward_ps_per_token(self.spec.forward_tokens()), self.forward_ps_per_token);
        if cap == 0 || cost <= cap {
            return Ok(());
        }
        let message = format!(
            "forward costs {cost} ps per token, and the task allows {cap}, {} times what the seed guest's costs; it goes to {}",
            self.spec.limits.forward_cost_factor,
            facts::share_words(&facts::shares(&dry_run.forward))
        );
        Err(Refusal::Run(Status::guest(GuestFault::TooExpensive, message)))
    }

    /// From text to candidate in one go.
    pub fn prepare(&self, text: &str) -> Result<Candidate, Refusal> {
        let source = Source::parse(text)?;
        let component = self.compile(&source)?;
        self.dry_run(text, source.key(), component)
    }
}
