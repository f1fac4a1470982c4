//! The op stream's canonical encoding and its streaming hash. Depends on `op` and `spec`.
//!
//! Integers are little-endian, f32 operands their bits. The stream is a sequence of entries, each with a tag (u8):
//!
//! - 0, a record: op code (u8, the variant's place in [`Op`]), its scalar operands in the order of declaration (shapes
//!   and axis lists as a u8 count and u32 sizes, flags, function codes and dtypes as u8, lists of coefficients as a u32 count and their bits), inputs (u32 count, u64 ids), outputs
//!   (u8 count, then id and spec each), and for [`Op::Constant`] the values (u64 count, then each). The values of
//!   [`Op::NextBatch`] stay out: the experiment's data and random seed decide them, and a dry run has none.
//! - 1, 2, 3, a slot: parameter, buffer or variable: id (u64), name (u8 length, bytes; empty for variables).
//! - 4, the result of `forward`: id (u64).
//! - 5, 6, 7, given by the host: saved parameter, saved buffer, input: as slots, with the spec after the name.
//!
//! A spec is the dtype (u8) and the shape.

use crate::op::{AdamW, Attention, Loss, Op, TensorId};
use crate::spec::{Shape, Spec, Values};

/// What a slot or a tensor from the host is.
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

/// What the entry of a record is made of.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Kind and scalar operands.
    pub op: &'a Op,
    /// What it reads.
    pub inputs: &'a [TensorId],
    /// What it makes.
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
        encode_op(out, self.op);
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
    encode_shape(out, &spec.shape);
}

/// Appends the count (u64) and each value's bytes.
pub fn encode_values(out: &mut Vec<u8>, values: &Values) {
    out.extend_from_slice(&(values.len() as u64).to_le_bytes());
    values.extend_le_bytes(out);
}

fn encode_shape(out: &mut Vec<u8>, shape: &Shape) {
    encode_sizes(out, shape.dims());
}

fn encode_sizes(out: &mut Vec<u8>, sizes: &[u32]) {
    out.push(sizes.len() as u8);
    put(out, sizes);
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
}

fn encode_op(out: &mut Vec<u8>, op: &Op) {
    out.push(code(op));
    match op {
        Op::Full { shape, value } => {
            encode_shape(out, shape);
            put(out, &[value.to_bits()]);
        }
        Op::Arange { len: n } | Op::EmbeddingGrad { rows: n } => put(out, &[*n]),
        Op::Constant { shape, dtype } => {
            encode_shape(out, shape);
            out.push(*dtype as u8);
        }
        Op::Uniform { shape, low: a, high: b, stream, position }
        | Op::Normal { shape, mean: a, std: b, stream, position } => {
            encode_shape(out, shape);
            put(out, &[a.to_bits(), b.to_bits(), *stream]);
            out.extend_from_slice(&position.to_le_bytes());
        }
        Op::NextBatch { batch, seq, drawn } => {
            put(out, &[*batch, *seq]);
            out.extend_from_slice(&drawn.to_le_bytes());
        }
        Op::Reshape { shape } | Op::Expand { shape } | Op::SumTo { shape } => encode_shape(out, shape),
        Op::Permute { axes } => encode_sizes(out, axes),
        Op::Narrow { axis: a, start: b, len: c } | Op::Pad { axis: a, before: b, after: c } => put(out, &[*a, *b, *c]),
        Op::Cat { axis } | Op::ArgMax { axis } | Op::Gather { axis } | Op::ScatterAdd { axis } => put(out, &[*axis]),
        Op::CumSum { axis, reverse } => {
            put(out, &[*axis]);
            out.push(u8::from(*reverse));
        }
        Op::Unary(f) | Op::UnaryGrad(f) => out.push(*f as u8),
        Op::Binary(f) | Op::ChosenGrad(f) => out.push(*f as u8),
        Op::Affine { mul: a, add: b } | Op::Blend { keep: a, scale: b } => put(out, &[a.to_bits(), b.to_bits()]),
        Op::Softcap { cap: x } | Op::SoftcapGrad { cap: x } => put(out, &[x.to_bits()]),
        Op::Compare(f) => out.push(*f as u8),
        Op::Cast { to } => out.push(*to as u8),
        Op::ArgSort { descending: flag } | Op::PowGrad { exponent: flag } => out.push(u8::from(*flag)),
        Op::Sum { axes, keep } | Op::Mean { axes, keep } | Op::Max { axes, keep } | Op::Min { axes, keep } => {
            encode_sizes(out, axes);
            out.push(u8::from(*keep));
        }
        Op::MatMul { transpose_a, transpose_b } => out.extend([u8::from(*transpose_a), u8::from(*transpose_b)]),
        Op::RmsNorm { eps: x } | Op::RmsNormGrad { eps: x } => put(out, &[x.to_bits()]),
        Op::LayerNorm { eps: x } | Op::LayerNormGrad { eps: x } => put(out, &[x.to_bits()]),
        Op::Rope { base, inverse } => {
            put(out, &[base.to_bits()]);
            out.push(u8::from(*inverse));
        }
        Op::Attention(Attention { causal, window, scale }) | Op::AttentionGrad(Attention { causal, window, scale }) => {
            out.push(u8::from(*causal));
            put(out, &[*window, scale.to_bits()]);
        }
        Op::CrossEntropy(loss) | Op::CrossEntropyGrad(loss) => encode_loss(out, loss),
        Op::LinearCrossEntropy { loss, gradients } => {
            encode_loss(out, loss);
            out.push(u8::from(*gradients));
        }
        Op::NewtonSchulz { coefficients } => {
            put(out, &[coefficients.len() as u32]);
            coefficients.iter().for_each(|step| put(out, &step.map(f32::to_bits)));
        }
        Op::AdamW(AdamW { lr, beta1, beta2, eps, weight_decay, step }) => {
            put(out, &[lr, beta1, beta2, eps, weight_decay].map(|x| x.to_bits()));
            put(out, &[*step]);
        }
        Op::Softmax | Op::SoftmaxGrad | Op::LogSumExp | Op::Select | Op::Embedding | Op::Assign | Op::Copy => {}
    }
}

fn encode_loss(out: &mut Vec<u8>, loss: &Loss) {
    put(out, &[loss.softcap.to_bits(), loss.z_loss.to_bits()]);
}

/// The variant's place in [`Op`].
fn code(op: &Op) -> u8 {
    match op {
        Op::Full { .. } => 0,
        Op::Arange { .. } => 1,
        Op::Constant { .. } => 2,
        Op::Uniform { .. } => 3,
        Op::Normal { .. } => 4,
        Op::NextBatch { .. } => 5,
        Op::Reshape { .. } => 6,
        Op::Permute { .. } => 7,
        Op::Narrow { .. } => 8,
        Op::Pad { .. } => 9,
        Op::Cat { .. } => 10,
        Op::Expand { .. } => 11,
        Op::Unary(_) => 12,
        Op::UnaryGrad(_) => 13,
        Op::Binary(_) => 14,
        Op::ChosenGrad(_) => 15,
        Op::Affine { .. } => 16,
        Op::Softcap { .. } => 17,
        Op::SoftcapGrad { .. } => 18,
        Op::Sum { .. } => 19,
        Op::Mean { .. } => 20,
        Op::SumTo { .. } => 21,
        Op::Softmax => 22,
        Op::SoftmaxGrad => 23,
        Op::MatMul { .. } => 24,
        Op::Embedding => 25,
        Op::EmbeddingGrad { .. } => 26,
        Op::RmsNorm { .. } => 27,
        Op::RmsNormGrad { .. } => 28,
        Op::Rope { .. } => 29,
        Op::Attention(_) => 30,
        Op::AttentionGrad(_) => 31,
        Op::CrossEntropy(_) => 32,
        Op::CrossEntropyGrad(_) => 33,
        Op::NewtonSchulz { .. } => 34,
        Op::Assign => 35,
        Op::Blend { .. } => 36,
        Op::AdamW(_) => 37,
        Op::Copy => 38,
        Op::Cast { .. } => 39,
        Op::Compare(_) => 40,
        Op::Select => 41,
        Op::Max { .. } => 42,
        Op::Min { .. } => 43,
        Op::ArgMax { .. } => 44,
        Op::ArgSort { .. } => 45,
        Op::CumSum { .. } => 46,
        Op::LogSumExp => 47,
        Op::Gather { .. } => 48,
        Op::ScatterAdd { .. } => 49,
        Op::LayerNorm { .. } => 50,
        Op::LayerNormGrad { .. } => 51,
        Op::PowGrad { .. } => 52,
        Op::LinearCrossEntropy { .. } => 53,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Binary;
    use crate::spec::DType;

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
