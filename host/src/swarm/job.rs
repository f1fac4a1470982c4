//! A job: one experiment for another machine to run. It names everything by hash, and neither a path nor a time. Pure.

use crate::community::{Form, FormError, MAX_HEAD_BYTES, PublicKey, Purpose, Reader, Signed, Writer};
use crate::record::key::{CONTRACT, ExperimentKey, Hash, Manifest};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub manifest: Manifest,
    /// Decides the probes where causality is not proved.
    pub probe_seed: u64,
    /// The blob of the component.
    pub component: Hash,
    /// The blob of what the run needs of its task: text and chunks.
    pub lesson: Hash,
    /// The blob of the profile.
    pub profile: Hash,
}

/// Why this program does not take a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobFault {
    #[error("the job does not read: {0}")]
    Form(#[from] FormError),
    #[error(
        "the night's coordinator speaks another version of the swarm than this program: install the same version of \
         host on both machines"
    )]
    Version,
    #[error("the job is signed by {0}, which is not the coordinator of the pass: ask its owner for a new pass")]
    Stranger(String),
    #[error(
        "the night runs in the numerics class {wanted} and this program in {own}, whose results never mix: install the \
         version of host that the coordinator has"
    )]
    Numerics { wanted: String, own: &'static str },
    #[error(
        "the night's guests are written for the contract {wanted}, this program speaks {CONTRACT}: install the version \
         of host that the coordinator has"
    )]
    Contract { wanted: String },
}

impl Job {
    pub fn experiment(&self) -> ExperimentKey {
        self.manifest.key()
    }

    /// Reads a job that `coordinator` must have signed, and that this program can run.
    pub fn read(bytes: &[u8], coordinator: &PublicKey) -> Result<Self, JobFault> {
        if is_of_another_version(bytes, Purpose::Job) {
            return Err(JobFault::Version);
        }
        let Signed { text: job, by, .. } = Signed::<Self>::read(bytes)?;
        if by != *coordinator {
            return Err(JobFault::Stranger(by.short()));
        }
        let Manifest { numerics, contract, .. } = &job.manifest;
        if numerics != kernels::cpu::CLASS {
            return Err(JobFault::Numerics { wanted: numerics.clone(), own: kernels::cpu::CLASS });
        }
        if contract != CONTRACT {
            return Err(JobFault::Contract { wanted: contract.clone() });
        }
        Ok(job)
    }
}

/// Whether a text names this purpose, in another version than this program's.
pub fn is_of_another_version(bytes: &[u8], purpose: Purpose) -> bool {
    let own = purpose.first_line().as_bytes();
    let named = own.strip_suffix(b"1").unwrap_or(own);
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    first != own
        && first.strip_prefix(named).is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
}

impl Form for Job {
    const PURPOSE: Purpose = Purpose::Job;
    const MAX_BYTES: usize = MAX_HEAD_BYTES;

    fn write(&self, to: &mut Writer) {
        to.field("experiment", self.experiment());
        to.field("probe-seed", self.probe_seed);
        to.field("component", self.component);
        to.field("lesson", self.lesson);
        to.field("profile", self.profile);
        // A manifest is plain data, which JSON can always say.
        to.field("manifest", serde_json::to_string(&self.manifest).unwrap_or_default());
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FormError> {
        let said: ExperimentKey = from.value("experiment")?;
        let (probe_seed, component) = (from.value("probe-seed")?, from.value("component")?);
        let (lesson, profile) = (from.value("lesson")?, from.value("profile")?);
        let manifest = from.field("manifest")?;
        let manifest: Manifest = serde_json::from_str(manifest).map_err(|error| from.wrong("manifest", error))?;
        let found = manifest.key();
        if found != said {
            return Err(FormError::Manifest { said, found });
        }
        Ok(Self { manifest, probe_seed, component, lesson, profile })
    }
}
