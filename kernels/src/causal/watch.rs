//! Checks in an evaluation what a proof took for granted.

use super::trace::{Need, Needs};
use crate::exec::{Executor, Step};
use crate::fault::Fault;
use crate::op::TensorId;
use crate::spec::{Spec, Values};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most bytes of tensors that are kept longer than the guest needs them, so that they can be looked at together.
const KEPT_BYTES: u64 = 64 << 20;

/// An executor that looks at the values of some tensors. It changes no result.
pub struct Watching {
    executor: Box<dyn Executor>,
    needs: BTreeMap<TensorId, Vec<Need>>,
    holds: Arc<AtomicBool>,
}

impl Watching {
    /// Executes with `executor`. `holds` becomes false when a value is not as it must be.
    pub fn new(executor: Box<dyn Executor>, needs: &Needs, holds: Arc<AtomicBool>) -> Self {
        let mut by_tensor = BTreeMap::<TensorId, Vec<Need>>::new();
        for &(tensor, need) in needs {
            by_tensor.entry(tensor).or_default().push(need);
        }
        Self { executor, needs: by_tensor, holds }
    }

    /// Executes what waits, looks at what is watched, and frees what was kept for that.
    fn look(&mut self, waiting: &mut Vec<Step>, seen: &mut Vec<TensorId>, kept: &mut Vec<Step>) -> Result<(), Fault> {
        self.executor.execute(waiting)?;
        for id in seen.drain(..) {
            let values = self.executor.download(id)?;
            self.check(id, &values);
        }
        self.executor.execute(kept)
    }

    fn check(&self, id: TensorId, values: &Values) {
        let needs = self.needs.get(&id).map(Vec::as_slice).unwrap_or_default();
        let all = |holds: &dyn Fn(Need) -> bool| needs.iter().all(|&need| holds(need));
        // bf16 is the upper half of an f32; of an f16 the exponent is moved there.
        let as_f32 = |bits: u16, exponent: u16| match bits & exponent == exponent {
            true if bits & !(exponent | 0x8000) != 0 => f32::NAN,
            true if bits & 0x8000 != 0 => f32::NEG_INFINITY,
            true => f32::INFINITY,
            false => 0.0,
        };
        let holds = match values {
            Values::F32(v) => all(&|need| v.iter().all(|&x| need.holds(x))),
            Values::Bf16(v) => all(&|need| v.iter().all(|&x| need.holds(as_f32(x, 0x7f80)))),
            Values::F16(v) => all(&|need| v.iter().all(|&x| need.holds(as_f32(x, 0x7c00)))),
            Values::U32(_) | Values::U8(_) | Values::I64(_) | Values::Bool(_) => true,
        };
        if !holds {
            self.holds.store(false, Ordering::Relaxed);
        }
    }
}

impl Executor for Watching {
    fn execute(&mut self, steps: &mut Vec<Step>) -> Result<(), Fault> {
        let (mut waiting, mut seen, mut kept) = (Vec::with_capacity(steps.len()), Vec::new(), Vec::new());
        let mut bytes = BTreeMap::new();
        let mut kept_bytes = 0;
        for step in steps.drain(..) {
            match &step {
                Step::Run { record, outputs, .. } => {
                    for (id, spec) in record.outputs.iter().zip(outputs) {
                        if self.needs.contains_key(id) {
                            seen.push(*id);
                            bytes.insert(*id, spec.bytes());
                        }
                    }
                    waiting.push(step);
                }
                Step::Free(id) => match bytes.get(id) {
                    Some(bytes) => {
                        kept_bytes += bytes;
                        kept.push(step);
                    }
                    None => waiting.push(step),
                },
            }
            if kept_bytes > KEPT_BYTES {
                self.look(&mut waiting, &mut seen, &mut kept)?;
                (kept_bytes, bytes) = (0, BTreeMap::new());
            }
        }
        self.look(&mut waiting, &mut seen, &mut kept)
    }

    fn upload(&mut self, id: TensorId, spec: &Spec, values: &Values) -> Result<(), Fault> {
        self.check(id, values);
        self.executor.upload(id, spec, values)
    }

    fn download(&mut self, id: TensorId) -> Result<Values, Fault> {
        self.executor.download(id)
    }

    fn class(&self) -> &'static str {
        self.executor.class()
    }
}
