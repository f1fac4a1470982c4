//! What a child computes with. It starts before the child looks at a guest, with what it needs then; afterwards only
//! that is left open which it cannot do without.

use crate::system::confinement::{Calls, Paths};
use kernels::exec::Executor;
use kernels::fault::Fault;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Makes executors on threads and devices that were started before the last wall.
pub trait Backend: Send {
    /// An executor without tensors.
    fn executor(&self, random_seed: u64) -> Box<dyn Executor>;

    /// Numerics class of what it computes.
    fn class(&self) -> String;

    /// What its executors have moved between host and device; `None` if there is no device beside the host.
    fn traffic(&self) -> Option<Traffic>;
}

/// Transfers between host and device in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Waits for the device in the middle of execution, where a step needs a value on the host.
    pub round_trips: u64,
    /// Tensors that were asked for: logged losses, checkpoints, the model, and what the guest read.
    pub reads: u64,
    /// Batches and constants that went to the device.
    pub uploads: u64,
}

/// Starts a backend.
pub type Start = Box<dyn FnOnce(Share) -> Result<Box<dyn Backend>, Fault>>;

/// What of the machine a backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub threads: usize,
    /// Bytes of tensors that the policy allows the guest.
    pub tensor_bytes: u64,
}

/// A backend that is not started yet.
pub struct Starter {
    pub needs: Needs,
    pub start: Start,
    /// What there is of it on this machine, found out without starting it.
    pub look: Box<dyn FnOnce() -> Vec<Part>>,
}

/// What a backend takes of the second wall. A child without a device needs none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// What can be opened while it starts, and later by the threads that it has started.
    pub at_start: Paths,
    /// What the thread of the guest, and what it starts, can open then.
    pub afterwards: Paths,
    /// Memory of this machine, beside what a child has.
    pub memory_bytes: u64,
    /// The largest file that it writes.
    pub file_bytes: u64,
    /// Open descriptors.
    pub files: u64,
    pub calls: Calls,
}

impl Needs {
    /// Of what computes on the threads of its own process.
    pub fn nothing() -> Self {
        Self {
            at_start: Paths::default(),
            afterwards: Paths::default(),
            memory_bytes: 0,
            file_bytes: 0,
            files: 64,
            calls: Calls::Computing,
        }
    }
}

/// A card, as the parent names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its number, as the driver counts.
    pub number: u32,
    /// The folder for what is compiled for it. It exists.
    pub folder: PathBuf,
}

/// Something that a backend needs of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    pub is_there: bool,
    /// What it is, or how to get it.
    pub text: String,
}
