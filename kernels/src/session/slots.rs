//! Slots: tensors that can change in place, some of them named; and tensors that the host uploads before a run.

use super::interface::{Mode, NamedState};
use super::memory::Slot;
use super::state::{Named, Session};
use crate::encode::Tag;
use crate::fault::Fault;
use crate::op::{AdamW, Op, TensorId};
use crate::spec::{DType, Spec, Values};

/// What a safetensors file says of itself has this name.
const RESERVED: &str = "__metadata__";
/// Most bytes of a name.
const MAX_NAME: usize = 64;

impl Session {
    /// Evaluation: installs saved named state, readable through [`Session::get`]. Values may be empty in a dry run.
    pub fn install(&mut self, state: &NamedState) -> Result<(), Fault> {
        for (name, parameter, spec, values) in &state.tensors {
            check_name("install", name)?;
            let tag = if *parameter { Tag::SavedParameter } else { Tag::SavedBuffer };
            let id = self.place(tag, name, spec, values)?;
            self.make_slot(id, *parameter);
            self.named.insert(name.clone(), Named { id, parameter: *parameter });
        }
        Ok(())
    }

    /// Training: parameters and buffers that are declared later under these names start with these values instead of
    /// the guest's (a warm start). Records, prices and live bytes stay what they are without it.
    pub fn start_from(&mut self, state: NamedState) {
        self.initial = state.tensors.into_iter().map(|(name, _, spec, values)| (name, (spec, values))).collect();
    }

    /// Host-made input (evaluation tokens). Not charged to the guest.
    pub fn input(&mut self, spec: Spec, values: Values) -> Result<TensorId, Fault> {
        self.place(Tag::Input, "", &spec, &values)
    }

    fn place(&mut self, tag: Tag, name: &str, spec: &Spec, values: &Values) -> Result<TensorId, Fault> {
        let made = self.memory.reserve("input", std::slice::from_ref(spec), 0)?;
        let id = made.first().copied().ok_or(Fault::Dropped { op: "input" })?;
        if self.execution.running() {
            self.executor.upload(id, spec, values)?;
        }
        self.op_hash.tensor(tag, id, name, Some(spec));
        Ok(id)
    }

    /// Declares a parameter with its first value.
    pub fn parameter(&mut self, name: &str, init: TensorId) -> Result<TensorId, Fault> {
        check_name("parameter", name)?;
        let spec = &self.memory.held("parameter", init)?.spec;
        if spec.dtype != DType::F32 {
            return Err(Fault::Misuse {
                op: "parameter",
                reason: format!("{name} is {spec}; parameters are f32, cast it first"),
            });
        }
        self.declare("parameter", name, init, true)
    }

    /// Declares a named buffer.
    pub fn buffer(&mut self, name: &str, init: TensorId) -> Result<TensorId, Fault> {
        self.declare("buffer", name, init, false)
    }

    fn declare(&mut self, op: &'static str, name: &str, init: TensorId, parameter: bool) -> Result<TensorId, Fault> {
        if self.config.mode == Mode::Evaluate {
            return Err(Fault::Evaluation { op });
        }
        check_name(op, name)?;
        if self.named.contains_key(name) {
            return Err(Fault::Misuse { op, reason: format!("the name {name} is taken; each can be declared once") });
        }
        let id = self.slot(op, init, parameter)?;
        self.op_hash.tensor(if parameter { Tag::Parameter } else { Tag::Buffer }, id, name, None);
        self.replace_initial(op, name, id)?;
        // The session's own handle: named state outlives the guest's handles.
        self.memory.share(id);
        self.named.insert(name.to_owned(), Named { id, parameter });
        Ok(id)
    }

    /// Puts the value of a warm start in the place of the guest's.
    fn replace_initial(&mut self, op: &'static str, name: &str, id: TensorId) -> Result<(), Fault> {
        let Some((spec, values)) = self.initial.remove(name) else {
            return Ok(());
        };
        let declared = &self.memory.alive(op, id)?.spec;
        if *declared != spec {
            let reason = format!("{name} is {declared}; the state that the run starts from has {spec}");
            return Err(Fault::Misuse { op, reason });
        }
        self.flush()?;
        if self.execution.running() { self.executor.upload(id, &spec, &values) } else { Ok(()) }
    }

    /// An unnamed tensor that can change in place.
    pub fn variable(&mut self, init: TensorId) -> Result<TensorId, Fault> {
        if self.config.mode == Mode::Evaluate {
            return Err(Fault::Evaluation { op: "variable" });
        }
        let id = self.slot("variable", init, false)?;
        self.op_hash.tensor(Tag::Variable, id, "", None);
        Ok(id)
    }

    fn slot(&mut self, op: &'static str, init: TensorId, parameter: bool) -> Result<TensorId, Fault> {
        self.memory.held(op, init)?;
        let id = self.single(Op::Copy, &[init])?;
        self.make_slot(id, parameter);
        Ok(id)
    }

    fn make_slot(&mut self, id: TensorId, parameter: bool) {
        if let Some(tensor) = self.memory.get_mut(id) {
            tensor.slot = Some(Slot { version: 0, parameter: parameter && self.config.mode == Mode::Train });
        }
    }

    /// The named tensor, if there is one. Each call gives the guest one more handle, which it releases on its own.
    pub fn get(&mut self, name: &str) -> Result<Option<TensorId>, Fault> {
        let id = self.named.get(name).map(|n| n.id);
        if let Some(id) = id {
            self.memory.share(id);
        }
        Ok(id)
    }

    /// Name of a slot.
    pub(super) fn name_of(&self, id: TensorId) -> Option<&str> {
        self.named.iter().find(|(_, n)| n.id == id).map(|(name, _)| name.as_str())
    }

    /// x ← value.
    pub fn assign(&mut self, x: TensorId, value: TensorId) -> Result<(), Fault> {
        self.update(Op::Assign, &[x, value])
    }

    /// x ← keep·x + scale·value.
    pub fn blend(&mut self, x: TensorId, keep: f32, value: TensorId, scale: f32) -> Result<(), Fault> {
        self.update(Op::Blend { keep, scale }, &[x, value])
    }

    /// One AdamW step on x with moments m and v.
    pub fn adamw(&mut self, x: TensorId, grad: TensorId, m: TensorId, v: TensorId, how: AdamW) -> Result<(), Fault> {
        self.update(Op::AdamW(how), &[x, grad, m, v])
    }

    /// Changes slots in place. An operand that is written must be a slot and must be given once.
    fn update(&mut self, op: Op, inputs: &[TensorId]) -> Result<(), Fault> {
        let (name, written) = (op.name(), op.written());
        if self.config.mode == Mode::Evaluate {
            return Err(Fault::Evaluation { op: name });
        }
        for (i, &id) in inputs.iter().enumerate() {
            let tensor = self.memory.held(name, id)?;
            if !written.contains(&i) {
                continue;
            }
            if tensor.slot.is_none() {
                let reason = format!(
                    "operand {} ({}) cannot change in place; declare it with variable, buffer or parameter",
                    i + 1,
                    tensor.spec
                );
                return Err(Fault::Misuse { op: name, reason });
            }
            if inputs.iter().enumerate().any(|(j, &other)| j != i && other == id) {
                let reason = format!("operand {} is written and given twice; copy it first", i + 1);
                return Err(Fault::Misuse { op: name, reason });
            }
        }
        self.run(op, inputs, None, false)?;
        for &i in written {
            if let Some(slot) = self.memory.get_mut(inputs[i]).and_then(|t| t.slot.as_mut()) {
                slot.version += 1;
            }
        }
        Ok(())
    }

    /// Named parameters and buffers; without values if nothing is executed.
    pub fn named_state(&mut self) -> Result<NamedState, Fault> {
        self.flush()?;
        let mut state = NamedState::default();
        for (name, named) in &self.named {
            let spec = self.memory.alive("get", named.id)?.spec.clone();
            let running = self.execution.running();
            let values = if running { self.executor.download(named.id)? } else { Values::none(spec.dtype) };
            state.tensors.push((name.clone(), named.parameter, spec, values));
        }
        Ok(state)
    }
}

fn check_name(op: &'static str, name: &str) -> Result<(), Fault> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name == RESERVED {
        return Err(Fault::Misuse {
            op,
            reason: format!("{RESERVED} is a name that files of weights keep for themselves"),
        });
    }
    if !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = name.chars().take(MAX_NAME).flat_map(char::escape_debug).collect();
    Err(Fault::Misuse { op, reason: format!("\"{shown}\" is not a name; use 1 to {MAX_NAME} of A-Z a-z 0-9 . _ -") })
}
