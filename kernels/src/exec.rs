//! What executes records: the seam between the session and arithmetic.

use crate::fault::Fault;
use crate::op::{Record, TensorId};
use crate::spec::{Spec, Values};

/// One thing for an executor to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// Execute; the specs are those of the record's outputs.
    Run {
        /// The record.
        record: Record,
        /// Specs of its outputs.
        outputs: Vec<Spec>,
        /// Its index in the op stream, for faults.
        index: u64,
    },
    /// The tensor is no longer needed.
    Free(TensorId),
}

/// Executes steps in order. Reads and writes nothing but its own tensors.
pub trait Executor: Send {
    /// Runs the steps, which become empty. An error leaves the executor unusable.
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault>;
    /// Puts a tensor in place.
    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault>;
    /// A copy of a tensor's values, NaN made canonical.
    fn download(&mut self, id: TensorId) -> Result<Values, Fault>;
    /// Numerics class, such as `cpu-0`.
    fn class(&self) -> &'static str;
}
