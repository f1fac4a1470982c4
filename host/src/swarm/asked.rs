//! What a night has asked its machines for: what all jobs name, and the runs that have not ended.

use crate::data::task::PreparedTask;
use crate::experiment::ended::Ended;
use crate::experiment::fleet::{Heard, Order};
use crate::record::key::Hash;
use crate::swarm::contributor::Contributor;
use crate::swarm::error::SwarmError;
use crate::swarm::machine::MachineId;
use crate::swarm::names::Lane;
use kernels::cost::Profile;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// What all jobs of a night name. Lesson and profile have their hashes beside them, since each job and each receipt
/// needs these, and a lesson is long.
pub struct Inputs {
    pub task: Arc<PreparedTask>,
    pub lesson: (Hash, Vec<u8>),
    pub profile: (Hash, Vec<u8>),
}

impl Inputs {
    pub fn new(task: &PreparedTask, profile: &Profile) -> Result<Self, SwarmError> {
        let profile = serde_json::to_vec(profile).map_err(SwarmError::server("the profile"))?;
        let [lesson, profile] = [task.lesson()?, profile].map(|bytes| (Hash::of(&bytes), bytes));
        Ok(Self { lesson, profile, task: Arc::new(task.clone()) })
    }
}

/// A run that was asked for and has not ended.
pub struct Open {
    pub order: Order,
    pub listeners: Vec<(u64, Sender<Heard>)>,
    pub asked: Instant,
    /// When a machine first said something of it.
    pub begun: Option<Instant>,
    pub is_being_checked: bool,
    pub refused: u32,
    /// When a word on it was last handed on.
    pub heard: Option<Instant>,
    /// Who said last that it makes the run.
    pub machine: Option<MachineId>,
    /// Another machine was asked for it too.
    pub is_doubled: bool,
    /// Where its job is.
    pub at: BTreeSet<Lane>,
    /// What a contributor said of it, while an own machine makes it again.
    pub claim: Option<Claim>,
}

/// What a contributor said of a run, until an own machine has made it again.
pub struct Claim {
    pub by: Contributor,
    pub ended: Ended,
    pub blobs: Vec<Hash>,
}

impl Open {
    pub fn new(order: Order) -> Self {
        Self {
            order,
            listeners: Vec::new(),
            asked: Instant::now(),
            begun: None,
            is_being_checked: false,
            refused: 0,
            heard: None,
            machine: None,
            is_doubled: false,
            at: BTreeSet::new(),
            claim: None,
        }
    }
}
