//! What the parts of a swarm are called on its server: subjects, streams, buckets. Pure.

use crate::record::key::ExperimentKey;
use crate::swarm::machine::MachineId;

/// The stream of jobs that nobody has finished; a job is there once.
pub const JOBS: &str = "JOBS";
pub const ANY_JOB: &str = "swarm.job.>";
/// The consumer by which machines take jobs.
pub const MACHINES: &str = "machines";
/// The stream of receipts that nobody has stored.
pub const RECEIPTS: &str = "RECEIPTS";
pub const ANY_RECEIPT: &str = "swarm.receipt.*";
/// The bucket of what jobs name, which the coordinator writes.
pub const INPUTS: &str = "swarm-inputs";
/// The bucket of what receipts name, which machines write.
pub const RESULTS: &str = "swarm-results";
/// The bucket of who coordinates.
pub const LEASE: &str = "swarm-lease";

/// What machines say of runs that are under way.
pub const ANY_SAID: &str = "swarm.said.*";
/// What machines say of themselves, again and again.
pub const ANY_BEAT: &str = "swarm.beat.*";
/// Asks all machines for what they say of themselves.
pub const ROLL: &str = "swarm.roll";
/// Takes a job back: the experiment's key is the message.
pub const STOP: &str = "swarm.stop";
pub const ANY_ORDER: &str = "swarm.order.*";

pub fn job(experiment: &ExperimentKey) -> String {
    format!("swarm.job.{experiment}")
}

/// The same job for one more machine, if the first one is slow.
pub fn second_job(experiment: &ExperimentKey) -> String {
    format!("{}{SECOND}", job(experiment))
}

/// Whether a job is there for one more machine.
pub fn is_second(subject: &str) -> bool {
    subject.ends_with(SECOND)
}

const SECOND: &str = ".second";

pub fn receipt(experiment: &ExperimentKey) -> String {
    format!("swarm.receipt.{experiment}")
}

pub fn said(experiment: &ExperimentKey) -> String {
    format!("swarm.said.{experiment}")
}

pub fn beat(machine: &MachineId) -> String {
    format!("swarm.beat.{machine}")
}

pub fn order(machine: &MachineId) -> String {
    format!("swarm.order.{machine}")
}

/// The last part of a subject, if it reads.
pub fn last<T: std::str::FromStr>(subject: &str) -> Option<T> {
    subject.rsplit('.').next()?.parse().ok()
}

/// How a process is called that coordinates.
pub fn holder() -> String {
    format!("`host run` on {}, process {}", crate::system::environment::host_name(), std::process::id())
}
