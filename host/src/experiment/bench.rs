//! The bench: the settings and tools that all experiments of one context share (task, budget, limits, compiler,
//! sandbox, store).

use crate::data::compress::Compressors;
use crate::data::task::PreparedTask;
use crate::experiment::fleet::Fleet;
use crate::experiment::judge::JudgeError;
use crate::experiment::rules::{Rules, SeedGuest};
use crate::guest::component::Component;
use crate::guest::toolchain::Toolchain;
use crate::record::key::{CONTRACT, ContextKey, Manifest, ProfileHash};
use crate::record::store::{Store, StoreError};
use crate::sandbox::{RunSpec, Sandbox};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A failure of the bench, not of a mutation.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Select(#[from] JudgeError),
}

pub struct Bench {
    /// Holds all records.
    pub store: Store,
    /// Compiles guests. `None` on a bench that only replays.
    pub toolchain: Option<Toolchain>,
    /// Runs guests.
    pub sandbox: Sandbox,
    /// The text to learn and how it is scored.
    pub task: PreparedTask,
    /// Scores of compressors on the same text. `None` on a bench that only replays.
    pub compressors: Option<Compressors>,
    /// The settings of each run. The random seed is set for each run, and the number of threads for each batch.
    pub spec: RunSpec,
    /// Number of experiments that may run at the same time. It never changes a result.
    pub jobs: NonZeroUsize,
    /// Other machines, which then run every experiment in the place of this one.
    pub fleet: Option<Arc<dyn Fleet>>,
    /// Maximum cost of `forward` per token in picoseconds, derived from the seed guest's cost. 0 means no cap, while
    /// that cost is measured.
    pub forward_ps_per_token: u64,
    /// What the policy demands of guests beside their limits.
    pub rules: Rules,
    /// The guest that the rules compare others with. `None` while it is prepared, and on a bench that only replays:
    /// then no rule holds.
    pub seed_guest: Option<SeedGuest>,
}

impl Bench {
    /// Another bench on the same store, for another thread.
    pub fn twin(&self) -> Result<Self, StoreError> {
        Ok(Self {
            store: self.store.twin()?,
            toolchain: self.toolchain.clone(),
            sandbox: self.sandbox.clone(),
            task: self.task.clone(),
            compressors: self.compressors,
            spec: self.spec.clone(),
            jobs: self.jobs,
            fleet: self.fleet.clone(),
            forward_ps_per_token: self.forward_ps_per_token,
            rules: self.rules.clone(),
            seed_guest: self.seed_guest.clone(),
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
            numerics: self.sandbox.class().into(),
            contract: CONTRACT.into(),
            intervals: self.spec.intervals,
        }
    }

    /// How long a run of this bench will take on this machine, in words, by what runs took here before.
    pub fn pace_words(&self) -> Result<String, StoreError> {
        let budget = self.spec.budget_ps as f64 / 1e12;
        let mut paces = self.store.paces(&ProfileHash::new(&self.spec.profile))?;
        paces.sort_by(f64::total_cmp);
        Ok(match paces.get(paces.len() / 2) {
            Some(pace) => {
                format!("a run will take about {:.1} s on this machine, as the last {} did", budget * pace, paces.len())
            }
            None => {
                format!("a run will take about {budget:.1} s on a machine like the profile's; none has run here yet")
            }
        })
    }

    /// Whether new work may be scored on this task: no secret has chosen its held-out text, or the one that has is
    /// still in use.
    pub fn is_open(&self) -> Result<bool, StoreError> {
        let Some(commitment) = self.task.task.commitment else { return Ok(true) };
        Ok(self.store.secret_in_use()?.is_some_and(|secret| secret.commitment == commitment))
    }

    /// The terms on which guests compete on this bench. The result does not depend on the component.
    pub fn context_key(&self, component: &Component) -> ContextKey {
        self.manifest(component, 0).context_key()
    }
}
