//! Executors of records: the seam between the session and arithmetic.

use crate::fault::Fault;
use crate::op::{Record, TensorId};
use crate::spec::{Spec, Values};
use std::collections::BTreeMap;

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
    /// Free the tensor: nothing needs it any more.
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
    /// Numerics class, such as `cpu-2`.
    fn class(&self) -> &'static str;
}

/// Executes nothing, for dry runs and tests of the accounting. Downloads are zeros. A step on a tensor that is not
/// there is an error, so that lifetimes are checked.
#[derive(Debug, Default)]
pub struct Dry {
    alive: BTreeMap<TensorId, Spec>,
}

impl Dry {
    /// Shape and dtype of a tensor, while it is there.
    pub fn spec(&self, id: TensorId) -> Option<&Spec> {
        self.alive.get(&id)
    }
}

impl Executor for Dry {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        let gone = |id: TensorId| Fault::Executor(format!("tensor {} is not there", id.0));
        for step in steps.drain(..) {
            match step {
                Step::Run { record, outputs, .. } => {
                    if let Some(&id) = record.inputs.iter().find(|id| !self.alive.contains_key(id)) {
                        return Err(gone(id));
                    }
                    self.alive.extend(record.outputs.into_iter().zip(outputs));
                }
                Step::Free(id) => {
                    self.alive.remove(&id).ok_or_else(|| gone(id))?;
                }
            }
        }
        Ok(())
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, _values: &Values) -> Result<(), Fault> {
        self.alive.insert(id, spec.clone());
        Ok(())
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        let spec = self.alive.get(&id).ok_or_else(|| Fault::Executor(format!("tensor {} is not there", id.0)))?;
        Ok(Values::zeros(spec.dtype, spec.shape.elements() as usize))
    }

    fn class(&self) -> &'static str {
        "dry"
    }
}
