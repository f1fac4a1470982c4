//! What the parts of a swarm are called on its server: subjects, streams, buckets. Pure.

use crate::record::key::ExperimentKey;
use crate::swarm::contributor::Contributor;
use crate::swarm::machine::MachineId;

/// The consumer by which machines take jobs.
pub const MACHINES: &str = "machines";
/// The bucket of who coordinates.
pub const LEASE: &str = "swarm-lease";
/// The bucket of what is known of contributors.
pub const CONTRIBUTORS: &str = "swarm-contributors";
/// Subjects of all lanes of contributors: contributor, kind and what it is about follow.
pub const ANY_OF_CONTRIBUTORS: &str = "swarm-of.*.*.*";
const SECOND: &str = ".second";

/// The way between the coordinator and some machines: those of the swarm's owner, or those of one contributor. Each has
/// subjects, streams and a bucket of results that no other can touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(Option<Contributor>);

/// What a machine says, as the part of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Receipt,
    /// Of runs that are under way.
    Said,
    /// Of itself, again and again.
    Beat,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Receipt, Self::Said, Self::Beat];

    const fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Said => "said",
            Self::Beat => "beat",
        }
    }
}

impl Lane {
    pub const OWN: Self = Self(None);

    pub fn of(contributor: &Contributor) -> Self {
        Self(Some(contributor.clone()))
    }

    pub fn contributor(&self) -> Option<&Contributor> {
        self.0.as_ref()
    }

    fn subject(&self, rest: &str) -> String {
        self.0.as_ref().map_or_else(|| format!("swarm.{rest}"), |name| format!("swarm-of.{name}.{rest}"))
    }

    fn named(&self, what: &str) -> String {
        self.0.as_ref().map_or_else(|| what.into(), |name| format!("{what}-{name}"))
    }

    /// The stream of jobs that nobody has finished; a job is there once.
    pub fn jobs(&self) -> String {
        self.named("JOBS")
    }

    /// The stream of receipts that nobody has stored.
    pub fn receipts(&self) -> String {
        self.named("RECEIPTS")
    }

    /// The bucket of what receipts name, which machines write.
    pub fn results(&self) -> String {
        self.named("swarm-results")
    }

    /// The bucket of what jobs name, which the coordinator writes. All contributors share one.
    pub fn inputs(&self) -> &'static str {
        if self.0.is_none() { "swarm-inputs" } else { "swarm-offered" }
    }

    pub fn any_job(&self) -> String {
        self.subject("job.>")
    }

    pub fn job(&self, experiment: &ExperimentKey) -> String {
        self.subject(&format!("job.{experiment}"))
    }

    /// The same job for one more machine, if the first one is slow.
    pub fn second_job(&self, experiment: &ExperimentKey) -> String {
        format!("{}{SECOND}", self.job(experiment))
    }

    pub fn any(&self, kind: Kind) -> String {
        self.subject(&format!("{}.*", kind.name()))
    }

    pub fn receipt(&self, experiment: &ExperimentKey) -> String {
        self.subject(&format!("{}.{experiment}", Kind::Receipt.name()))
    }

    pub fn said(&self, experiment: &ExperimentKey) -> String {
        self.subject(&format!("{}.{experiment}", Kind::Said.name()))
    }

    pub fn beat(&self, machine: &MachineId) -> String {
        self.subject(&format!("{}.{machine}", Kind::Beat.name()))
    }

    /// Asks all machines for what they say of themselves.
    pub fn roll(&self) -> String {
        self.subject("roll")
    }

    /// Takes a job back: the experiment's key is the message.
    pub fn stop(&self) -> String {
        self.subject("stop")
    }

    pub fn any_order(&self) -> String {
        self.subject("order.*")
    }

    pub fn order(&self, machine: &MachineId) -> String {
        self.subject(&format!("order.{machine}"))
    }
}

/// Whether a job is there for one more machine.
pub fn is_second(subject: &str) -> bool {
    subject.ends_with(SECOND)
}

/// Who says what on a subject of a contributor.
pub fn said_by(subject: &str) -> Option<(Contributor, Kind)> {
    let mut parts = subject.strip_prefix("swarm-of.")?.split('.');
    let (name, kind) = (parts.next()?.parse().ok()?, parts.next()?);
    Some((name, Kind::ALL.into_iter().find(|known| known.name() == kind)?))
}

/// The last part of a subject, if it reads.
pub fn last<T: std::str::FromStr>(subject: &str) -> Option<T> {
    subject.rsplit('.').next()?.parse().ok()
}

/// How a process is called that coordinates.
pub fn holder() -> String {
    format!("`host run` on {}, process {}", crate::system::environment::host_name(), std::process::id())
}
