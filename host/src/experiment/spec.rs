//! The settings of the runs of a manifest.

use crate::data::task::Task;
use crate::record::key::Manifest;
use crate::sandbox::RunSpec;
use kernels::cost::Profile;

/// The settings by which the experiment of a manifest runs. `profile` and `task` are those that it names.
pub fn of_manifest(manifest: &Manifest, profile: Profile, task: &Task, threads: u32) -> RunSpec {
    RunSpec {
        vocab: task.tokenizer.vocab(),
        context: task.context,
        scale: task.scale,
        budget_ps: manifest.budget_ps,
        profile,
        limits: manifest.limits.clone(),
        random_seed: 0,
        intervals: manifest.intervals,
        eval_rows: manifest.eval_rows,
        threads,
        runtime_bytes: 0,
        wall_limit_ms: wall_limit_ms(manifest.budget_ps),
    }
}

/// A safety limit: ten times the budget, plus 90 seconds for machines that start slowly.
pub fn wall_limit_ms(budget_ps: u64) -> u64 {
    budget_ps / 1_000_000_000 * 10 + 90_000
}
