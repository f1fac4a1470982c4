//! The op stream's canonical encoding and its streaming hash. Imports `op` and `spec`.
//!
//! Integers are little-endian, f32 operands their bits. The stream is a sequence of entries, each with a tag (u8):
//!
//! - 0, a record: op code (u8), its scalar operands in the order of declaration (see [`Scalar`]), inputs (u32 count,
//!   u64 ids), outputs (u8 count, then id and spec each), and for [`Op::Constant`] the values (u64 count, then each).
//!   The values of [`Op::NextBatch`] stay out: the experiment's data and random seed decide them, and a dry run has
//!   none.
//! - 1, 2, 3, a slot: parameter, buffer or variable: id (u64), name (u8 length, bytes; empty for variables).
//! - 4, the result of `forward`: id (u64).
//! - 5, 6, 7, given by the host: saved parameter, saved buffer, input: as slots, with the spec after the name.
//!
//! A spec is the dtype (u8) and the shape.

use crate::op::{Op, Scalar, TensorId};
use crate::spec::{Spec, Values};

/// Kinds of slots and of tensors from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the module's list says what each is")]
pub enum Tag {
    Parameter = 1,
    Buffer = 2,
    Variable = 3,
    Result = 4,
    SavedParameter = 5,
    SavedBuffer = 6,
    Input = 7,
}

/// Streaming hash of an op stream: blake3, keyed to this use.
#[derive(Clone, Debug)]
pub struct OpHasher {
    hasher: blake3::Hasher,
    /// Entries that wait: blake3 is several times faster on long inputs.
    waiting: Vec<u8>,
}

/// Bytes that wait before they are hashed.
const WAITING: usize = 1 << 16;

impl Default for OpHasher {
    fn default() -> Self {
        Self { hasher: blake3::Hasher::new_derive_key("lab 2026 op stream v2"), waiting: Vec::new() }
    }
}

impl OpHasher {
    /// Takes in a record.
    pub fn record(&mut self, entry: Entry<'_>) {
        entry.encode(&mut self.waiting);
        self.hash_if_long();
    }

    fn hash_if_long(&mut self) {
        if self.waiting.len() >= WAITING {
            self.hasher.update(&self.waiting);
            self.waiting.clear();
        }
    }

    /// Takes in a slot, a result, or a tensor from the host.
    pub fn tensor(&mut self, tag: Tag, id: TensorId, name: &str, spec: Option<&Spec>) {
        let out = &mut self.waiting;
        out.push(tag as u8);
        out.extend_from_slice(&id.0.to_le_bytes());
        if tag != Tag::Result {
            let length = name.len().min(usize::from(u8::MAX));
            out.push(length as u8);
            out.extend_from_slice(&name.as_bytes()[..length]);
        }
        if let Some(spec) = spec {
            encode_spec(out, spec);
        }
        self.hash_if_long();
    }

    /// Hash of the stream so far.
    pub fn digest(&self) -> [u8; 32] {
        *self.hasher.clone().update(&self.waiting).finalize().as_bytes()
    }
}

/// The parts of a record's entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Kind and scalar operands.
    pub op: &'a Op,
    /// Tensors that it reads.
    pub inputs: &'a [TensorId],
    /// Tensors that it makes.
    pub outputs: &'a [TensorId],
    /// Their specs.
    pub specs: &'a [Spec],
    /// Values that come with it.
    pub data: Option<&'a Values>,
}

impl Entry<'_> {
    /// Appends the entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(0);
        out.push(self.op.code());
        self.op.encode_scalars(out);
        out.extend_from_slice(&(self.inputs.len() as u32).to_le_bytes());
        for id in self.inputs {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
        out.push(self.outputs.len() as u8);
        for (id, spec) in self.outputs.iter().zip(self.specs) {
            out.extend_from_slice(&id.0.to_le_bytes());
            encode_spec(out, spec);
        }
        if let (Op::Constant { .. }, Some(data)) = (self.op, self.data) {
            encode_values(out, data);
        }
    }
}

/// Appends dtype and shape.
pub fn encode_spec(out: &mut Vec<u8>, spec: &Spec) {
    out.push(spec.dtype as u8);
    spec.shape.encode(out);
}

/// Appends the count (u64) and each value's bytes.
pub fn encode_values(out: &mut Vec<u8>, values: &Values) {
    out.extend_from_slice(&(values.len() as u64).to_le_bytes());
    values.extend_le_bytes(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{AdamW, Binary};
    use crate::spec::{DType, Shape};

    const IDS: [TensorId; 4] = [TensorId(0), TensorId(1), TensorId(2), TensorId(3)];

    fn constant<'a>(op: &'a Op, specs: &'a [Spec], data: Option<&'a Values>) -> Entry<'a> {
        Entry { op, inputs: &[], outputs: &IDS[..1], specs, data }
    }

    fn f(dims: &[u32]) -> Spec {
        Spec::f32(Shape::new(dims).unwrap())
    }

    #[test]
    fn a_record_is_encoded_as_documented() {
        let mut bytes = Vec::new();
        let (op, specs) = (Op::Binary(Binary::Mul), [f(&[2, 5])]);
        let (inputs, outputs) = ([TensorId(3), TensorId(258)], [TensorId(7)]);
        Entry { op: &op, inputs: &inputs, outputs: &outputs, specs: &specs, data: None }.encode(&mut bytes);
        let mut expected = vec![0, 14, 2, 2, 0, 0, 0];
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
        expected.extend([1, 7, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn golden_digests() {
        let mut hasher = OpHasher::default();
        let hex = |h: &OpHasher| blake3::Hash::from(h.digest()).to_string();
        assert_eq!(hex(&hasher), "a25d07cec3c8c700e214756624cc5f57690b03a96eb12a7c1121fb6e0d43c04e");
        let values = Values::F32(vec![1.0, f32::NAN, -0.0]);
        let three = Op::Constant { shape: Shape::new(&[3]).unwrap(), dtype: DType::F32 };
        hasher.record(constant(&three, &[f(&[3])], Some(&values)));
        assert_eq!(hex(&hasher), "d3148351bebeeb601734b2630e2393345ec7d02a2abc1ca55d9c7d78b854ea49");
        hasher.tensor(Tag::Parameter, TensorId(0), "wte", None);
        assert_eq!(hex(&hasher), "32ca6dc9730e8a851708b618b3412b16cf8026056e951505abc718f266809b5e");
        let adamw = Op::AdamW(AdamW { lr: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, step: 3 });
        hasher.record(Entry { op: &adamw, inputs: &IDS, outputs: &[], specs: &[], data: None });
        assert_eq!(hex(&hasher), "da53c18655602af067ef4137a9e2a9f3ee67ea7e2fba27e74d1a45857573ac60");
    }

    #[test]
    fn batch_values_stay_out_and_constants_enter() {
        let digest = |op: Op, data: Option<Values>| {
            let mut hasher = OpHasher::default();
            hasher.record(constant(&op, &[f(&[1])], data.as_ref()));
            hasher.digest()
        };
        let batch = Op::NextBatch { batch: 1, seq: 1, drawn: 0 };
        assert_eq!(digest(batch.clone(), Some(Values::U32(vec![1, 2]))), digest(batch, None));
        let one = Op::Constant { shape: Shape::new(&[1]).unwrap(), dtype: DType::U32 };
        let with = |x| digest(one.clone(), Some(Values::U32(vec![x])));
        assert_ne!(with(1), with(2));
    }

    #[test]
    fn what_waits_is_hashed_as_it_comes() {
        let (op, specs) = (Op::Copy, [f(&[1])]);
        let entry = Entry { op: &op, inputs: &IDS[..1], outputs: &IDS[1..2], specs: &specs, data: None };
        let (mut hasher, mut bytes) = (OpHasher::default(), Vec::new());
        while bytes.len() < 3 * WAITING {
            hasher.record(entry);
            entry.encode(&mut bytes);
        }
        let plain = blake3::derive_key("lab 2026 op stream v2", &bytes);
        assert_eq!(hasher.digest(), plain);
    }
}
