//! The bench: what all experiments of one context share (task, budget, limits, compiler, sandbox, store).

use crate::data::compress::Compressors;
use crate::data::task::PreparedTask;
use crate::experiment::judge::SelectError;
use crate::guest::component::Component;
use crate::guest::toolchain::Toolchain;
use crate::record::key::{CONTRACT, ContextKey, Manifest, ProfileHash};
use crate::record::store::{Store, StoreError};
use crate::sandbox::{RunSpec, Sandbox};
use std::num::NonZeroUsize;

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
}
