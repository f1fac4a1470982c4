//! Collects the records of a `forward` instead of executing them.

use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::op::TensorId;
use crate::spec::{Spec, Values};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What a session did, in order.
#[derive(Debug, Default)]
pub struct Recording {
    /// Tensors that the host gave, in order: named state, then the tokens.
    pub given: Vec<(TensorId, Spec)>,
    /// Records and the tensors freed between them.
    pub steps: Vec<Step>,
    specs: BTreeMap<TensorId, Spec>,
}

/// An executor that executes nothing and keeps the records. Downloads are zeros, as in a dry run.
#[derive(Debug, Default)]
pub struct Recorder(Arc<Mutex<Recording>>);

impl Recorder {
    /// A recorder, and what takes its recording when the session is done.
    pub fn new() -> (Self, impl FnOnce() -> Recording) {
        let recording = Arc::<Mutex<Recording>>::default();
        let taken = recording.clone();
        (Self(recording), move || std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Executor for Recorder {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        let mut recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for step in steps.iter() {
            match step {
                Step::Run { record, outputs, .. } => {
                    recording.specs.extend(record.outputs.iter().copied().zip(outputs.iter().cloned()));
                }
                Step::Free(id) => drop(recording.specs.remove(id)),
            }
        }
        recording.steps.append(steps);
        Ok(())
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, _values: &Values) -> Result<(), Fault> {
        let mut recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recording.given.push((id, spec.clone()));
        recording.specs.insert(id, spec.clone());
        Ok(())
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        let recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = recording.specs.get(&id).ok_or_else(|| Fault::Executor(format!("tensor {} is not there", id.0)))?;
        Ok(Values::zeros(spec.dtype, spec.shape.elements() as usize))
    }

    fn class(&self) -> &'static str {
        "record"
    }
}
