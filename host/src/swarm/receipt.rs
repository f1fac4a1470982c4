//! A receipt: what a machine says of a job. It is signed, bound to the job by its hash, and names what came out by
//! hash. Pure.

use crate::community::{Form, FormError, MAX_HEAD_BYTES, PublicKey, Purpose, Reader, Writer};
use crate::record::causality::Causality;
use crate::record::key::{ExperimentKey, Hash};
use crate::record::outcome::HostFault;
use crate::swarm::job::Job;
use crate::swarm::machine::MachineId;
use crate::system::sanitize;

/// Longest words in bytes: a status message has at most 4000 characters.
const MAX_WORDS_BYTES: usize = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Hash of the signed job.
    pub job: Hash,
    pub experiment: ExperimentKey,
    /// Of the job. With it the coordinator can write the job again, and so know that it signed it.
    pub probe_seed: u64,
    /// Who ran it, for people.
    pub machine: MachineId,
    pub end: End,
    /// The message of the status. Part of no hash of a result.
    words: String,
    /// Hash and length of the words, as the head says.
    announced: (Hash, usize),
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a result, of the guest or of its fault.
    Result {
        /// The blob of the encoded outcome.
        outcome: Hash,
        /// The blob of the final state, if training completed.
        state: Option<Hash>,
        /// How the score is known to be causal, if there was an evaluation.
        causality: Option<Causality>,
    },
    /// Machines failed as often as one tries.
    Fault(HostFault),
}

impl Receipt {
    pub fn new(signed_job: Hash, job: &Job, machine: MachineId, end: End, words: &str) -> Self {
        let words = sanitize::cut_bytes(words, MAX_WORDS_BYTES).to_owned();
        let announced = (Hash::of(words.as_bytes()), words.len());
        let (experiment, probe_seed) = (job.experiment(), job.probe_seed);
        Self { job: signed_job, experiment, probe_seed, machine, end, words, announced }
    }

    pub fn words(&self) -> &str {
        &self.words
    }
}

impl Form for Receipt {
    const PURPOSE: Purpose = Purpose::JobReceipt;
    const MAX_BYTES: usize = MAX_HEAD_BYTES + MAX_WORDS_BYTES;

    fn write(&self, to: &mut Writer) {
        to.field("job", self.job);
        to.field("experiment", self.experiment);
        to.field("probe-seed", self.probe_seed);
        to.field("machine", &self.machine);
        let (outcome, state, causality, fault) = match self.end {
            End::Result { outcome, state, causality } => (Some(outcome), state, causality, None),
            End::Fault(fault) => (None, None, None, Some(fault)),
        };
        to.option("outcome", outcome);
        to.option("state", state);
        to.option("causality", causality);
        to.option("fault", fault);
        to.field("words", self.announced.0);
        to.field("words-bytes", self.announced.1);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, FormError> {
        let (job, experiment) = (from.value("job")?, from.value("experiment")?);
        let (probe_seed, machine) = (from.value("probe-seed")?, from.value("machine")?);
        let (outcome, state) = (from.option("outcome")?, from.option("state")?);
        let causality = named(from, "causality", &Causality::ALL, Causality::name)?;
        let fault = named(from, "fault", HostFault::ALL, HostFault::name)?;
        let end = match (outcome, fault) {
            (Some(outcome), None) => End::Result { outcome, state, causality },
            (None, Some(fault)) if state.is_none() && causality.is_none() => End::Fault(fault),
            _ => return Err(from.wrong("fault", "a job ends with an outcome or with a fault")),
        };
        let announced = (from.value("words")?, from.value("words-bytes")?);
        if announced.1 > MAX_WORDS_BYTES {
            return Err(from.wrong("words-bytes", format!("at most {MAX_WORDS_BYTES} are allowed")));
        }
        // The words come with the body.
        Ok(Self { job, experiment, probe_seed, machine, end, words: String::new(), announced })
    }

    fn body(&self) -> Vec<u8> {
        self.words.clone().into_bytes()
    }

    fn take_body(mut self, body: &[u8], _by: &PublicKey) -> Result<Self, FormError> {
        let ((said, announced), found) = (self.announced, Hash::of(body));
        if announced != body.len() {
            return Err(FormError::Length { announced: announced as u64, found: body.len() as u64 });
        }
        if said != found {
            return Err(FormError::Content { what: "message", said, found });
        }
        self.words =
            String::from_utf8(body.to_vec()).map_err(|error| FormError::Source(error.utf8_error().valid_up_to()))?;
        Ok(self)
    }
}

fn named<T: Copy>(
    from: &mut Reader<'_>,
    field: &'static str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>, FormError> {
    let found: Option<String> = from.option(field)?;
    let known = |found: String| all.iter().copied().find(|known| name(*known) == found);
    match found {
        None => Ok(None),
        Some(found) => known(found).map(Some).ok_or_else(|| from.wrong(field, "an unknown name")),
    }
}
