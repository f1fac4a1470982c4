//! Takes one receipt in: its signature, its job, its blobs, and whether they fit together.

use crate::community::{PrivateKey, PublicKey, Signed};
use crate::data::task::PreparedTask;
use crate::experiment::ended::Ended;
use crate::experiment::fleet::Order;
use crate::record::key::Hash;
use crate::record::outcome::Status;
use crate::swarm::accept::{MAX_OUTCOME_BYTES, accept, most_state_bytes};
use crate::swarm::blobs::Blobs;
use crate::swarm::error::SwarmError;
use crate::swarm::job::Job;
use crate::swarm::receipt::{End, Receipt};
use std::sync::Arc;
use std::time::Duration;

pub struct Intake {
    pub results: Blobs,
    pub task: Arc<PreparedTask>,
    /// The coordinator's.
    pub key: PrivateKey,
    /// Who must have signed the receipt.
    pub signer: PublicKey,
    pub order: Order,
    /// Blobs of the lesson and the profile.
    pub inputs: (Hash, Hash),
    pub wall: Duration,
}

pub enum Taken {
    Ended {
        ended: Box<Ended>,
        /// What the server may forget when the result is stored.
        blobs: Vec<Hash>,
    },
    Refused(String),
}

impl Intake {
    /// # Errors
    /// The server is away.
    pub async fn take(self, receipt: &[u8]) -> Result<Taken, SwarmError> {
        let receipt = match Signed::<Receipt>::read(receipt) {
            Ok(Signed { text, by, .. }) if by == self.signer => text,
            Ok(Signed { by, .. }) => return Ok(Taken::Refused(format!("{} has no pass for it", by.short()))),
            Err(error) => return Ok(Taken::Refused(error.to_string())),
        };
        // Signatures have no chance in them, so that the job can be written again.
        let Order { manifest, component, .. } = &self.order;
        let (lesson, profile) = self.inputs;
        let component = Hash::of(component.bytes());
        let job = Job { manifest: manifest.clone(), probe_seed: receipt.probe_seed, component, lesson, profile };
        let signed = Hash::of(&Signed::sign(job.clone(), &self.key).to_bytes());
        let machine = &receipt.machine;
        let (outcome, state) = match receipt.end {
            End::Fault(_) if receipt.job != signed => return Ok(Taken::Refused(format!("{machine}: another job"))),
            End::Fault(kind) => {
                let status = Status::host(kind, format!("{machine}: {}", receipt.words()));
                return Ok(Taken::Ended { ended: Box::new(Ended::without_result(status)), blobs: Vec::new() });
            }
            End::Result { outcome, state, .. } => (outcome, state),
        };
        let blobs: Vec<Hash> = std::iter::once(outcome).chain(state).collect();
        let missing = || Ok(Taken::Refused(format!("{machine}: what it names is missing or another")));
        let Some(outcome) = self.results.get(&outcome, MAX_OUTCOME_BYTES).await? else { return missing() };
        let state = match state {
            None => None,
            Some(state) => match self.results.get(&state, most_state_bytes(&job)).await? {
                None => return missing(),
                found => found,
            },
        };
        Ok(match accept((&job, signed), &self.task, &receipt, (&outcome, state), self.wall) {
            Ok(ended) => Taken::Ended { ended: Box::new(ended), blobs },
            Err(refused) => Taken::Refused(format!("{machine}: {refused}")),
        })
    }
}
