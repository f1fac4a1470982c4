//! What a guest gets beyond the policy's limits if it brings a runtime of its own: an interpreter has megabytes of code
//! and of memory before the guest's first line runs, and takes long to compile. Whether it brings one follows from its
//! bytes (it imports WASI), so manifests and keys stay those of the policy.

use crate::guest::component::{Component, MAX_COMPONENT_BYTES};
use crate::record::limits::Limits;
use crate::sandbox::RunSpec;

/// Wall time in which a machine that is busy compiles the runtime.
const WALL_MS: u64 = 600_000;

/// The settings of a run of this component, of training or evaluation. Their random seed is the experiment's.
pub(super) fn settings(spec: &RunSpec, component: &Component, random_seed: u64) -> RunSpec {
    let spec = RunSpec { random_seed, ..spec.clone() };
    if !component.has_runtime() {
        return spec;
    }
    // CPython begins with 13 MB of memory and has 18 MB of code and data, SpiderMonkey with 10 MB and has 12 MB.
    let runtime_bytes = component.program_bytes();
    let limits = Limits {
        component_bytes: spec.limits.component_bytes.max(MAX_COMPONENT_BYTES as u64),
        memory_bytes: spec.limits.memory_bytes.saturating_add(runtime_bytes),
        ..spec.limits
    };
    RunSpec { limits, runtime_bytes, wall_limit_ms: spec.wall_limit_ms.saturating_add(WALL_MS), ..spec }
}
