//! Makes the run of one job: takes what the job names, checks it, and trains and scores in confined children.

use crate::data::task::PreparedTask;
use crate::experiment::ended::Ended;
use crate::experiment::runner::{Experiment, Runner};
use crate::experiment::spec;
use crate::guest::component::{Component, MAX_COMPONENT_BYTES};
use crate::record::key::{Hash, ProfileHash};
use crate::record::outcome::{HostFault, Status};
use crate::sandbox::{Progress, RunSpec, Sandbox};
use crate::swarm::blobs::Blobs;
use crate::swarm::cache::Cache;
use crate::swarm::error::SwarmError;
use crate::swarm::job::Job;
use kernels::cost::Profile;
use std::sync::{Arc, Mutex};

/// Largest text of a task in bytes.
const MAX_LESSON_BYTES: u64 = 1 << 30;
const MAX_PROFILE_BYTES: u64 = 64 << 10;

/// What a machine makes runs with.
pub struct Workbench {
    pub sandbox: Sandbox,
    pub inputs: Blobs,
    pub cache: Cache,
    /// Threads of one run, and number of runs at the same time.
    pub threads: u32,
    pub at_once: u32,
    /// The text of the last job. All jobs of a night have the same.
    pub lesson: Mutex<Option<(Hash, Arc<PreparedTask>)>>,
}

/// What a job names, taken and checked.
pub struct Prepared {
    job: Job,
    component: Component,
    task: Arc<PreparedTask>,
    spec: RunSpec,
}

impl Workbench {
    /// Takes what the job names. The inner error is the status of a job that cannot be run as it is.
    ///
    /// # Errors
    /// The server is away.
    pub async fn prepare(&self, job: &Job) -> Result<Result<Prepared, Status>, SwarmError> {
        let missing = |what| Ok(Err(wrong(format!("the {what} that it names is missing, or another"))));
        let component = self.cache.get(&self.inputs, &job.component, MAX_COMPONENT_BYTES as u64).await?;
        let Some(component) = component else { return missing("component") };
        let Some(profile) = self.cache.get(&self.inputs, &job.profile, MAX_PROFILE_BYTES).await? else {
            return missing("profile");
        };
        let task = match self.known_lesson(&job.lesson) {
            Some(task) => task,
            None => {
                let lesson = self.cache.get(&self.inputs, &job.lesson, MAX_LESSON_BYTES).await?;
                let Some(lesson) = lesson else { return missing("text") };
                match PreparedTask::of_lesson(&lesson, job.manifest.task) {
                    Ok(task) => self.keep_lesson(job.lesson, task),
                    Err(error) => return Ok(Err(wrong(format!("its text: {error}")))),
                }
            }
        };
        Ok(self.check(job, &component, &profile, task))
    }

    fn known_lesson(&self, lesson: &Hash) -> Option<Arc<PreparedTask>> {
        let known = self.lesson.lock().ok()?;
        known.as_ref().filter(|(hash, _)| hash == lesson).map(|(_, task)| task.clone())
    }

    fn keep_lesson(&self, lesson: Hash, task: PreparedTask) -> Arc<PreparedTask> {
        let task = Arc::new(task);
        if let Ok(mut known) = self.lesson.lock() {
            *known = Some((lesson, task.clone()));
        }
        task
    }

    fn check(&self, job: &Job, component: &[u8], profile: &[u8], task: Arc<PreparedTask>) -> Result<Prepared, Status> {
        let component = Component::from_bytes(component).map_err(|error| wrong(format!("its component: {error}")))?;
        let profile: Profile =
            serde_json::from_slice(profile).map_err(|error| wrong(format!("its profile: {error}")))?;
        let manifest = &job.manifest;
        let named = (component.key(), ProfileHash::new(&profile), task.hash());
        if named != (manifest.component, manifest.profile, manifest.task) {
            return Err(wrong("what it names is not what its experiment has".into()));
        }
        let spec = spec::of_manifest(manifest, profile, &task.task, self.threads);
        // The runs of this machine may share its processor.
        let wall_limit_ms = spec.wall_limit_ms.saturating_mul(self.at_once.into());
        Ok(Prepared { job: job.clone(), component, task, spec: RunSpec { wall_limit_ms, ..spec } })
    }
}

impl Prepared {
    /// Makes the run. It may take as long as the job's budget allows.
    pub fn run(&self, sandbox: &Sandbox, say: &mut dyn FnMut(Progress), stopped: &(dyn Fn() -> bool + Sync)) -> Ended {
        let manifest = &self.job.manifest;
        let runner = Runner::new(sandbox, &self.task, self.spec.clone(), manifest.forward_ps_per_token);
        let experiment = Experiment { component: &self.component, random_seed: manifest.random_seed };
        runner.run(&experiment, self.job.probe_seed, say, stopped)
    }
}

fn wrong(message: String) -> Status {
    Status::host(HostFault::Protocol, format!("the job: {message}"))
}
