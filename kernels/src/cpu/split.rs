//! How an op is cut into parts that can be done on their own: a part is the same op on smaller tensors, so that no
//! arithmetic depends on the cut. Pure.
//!
//! Part i of P covers the fraction from ⌊i·base/P⌋/base to ⌊(i+1)·base/P⌋/base of each streamed tensor. Two ops with
//! the same cut can follow each other part by part, without waiting for the whole.

use crate::fault::Fault;
use crate::op::{Form, Op};
use crate::spec::{Shape, Spec};
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// Elements of a result below which an op is one part.
const SMALL: u64 = 16_384;
/// Most multiply-adds of one part of a product whose rows do not stream.
const PRODUCT_PART: u64 = 150_000_000;
/// Fewest rows of such a part: each packs the second operand for itself, which must pay.
const PRODUCT_ROWS: u64 = 256;

/// Multiply-adds of a part of one product in a chunk of rows of a linear cross-entropy.
const CHUNK_PART: u64 = 32_000_000;

/// A number of parts and what they are parts of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Units of the first axis, or of the elements or rows that are cut.
    pub base: u64,
    /// Parts, at most `base`.
    pub parts: u32,
}

impl Cut {
    /// The whole.
    pub const WHOLE: Self = Self { base: 1, parts: 1 };

    fn new(base: u64, parts: u64) -> Self {
        let parts = parts.clamp(1, base.max(1));
        // Even parts are the same fractions of every tensor.
        let base = if base.is_multiple_of(parts) { parts } else { base };
        Self { base, parts: parts as u32 }
    }

    /// What part `i` covers of `len` units, a multiple of the base.
    pub fn range(self, i: u32, len: u64) -> Range<u64> {
        let at = |i: u32| u64::from(i) * self.base / u64::from(self.parts) * (len / self.base);
        at(i)..at(i + 1)
    }
}

/// How a tensor takes part in a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every part reads all of it.
    Whole,
    /// Its first axis is cut.
    Lead,
    /// It is a row of elements.
    Flat,
    /// All its axes but the last are one, which is cut.
    Rows,
}

impl Mode {
    /// Spec of a part that covers `range` of `base` units.
    pub fn part(self, spec: &Spec, cut: Cut, i: u32) -> Result<Spec, Fault> {
        let dims = spec.shape.dims();
        let covered = |len: u64| {
            let range = cut.range(i, len);
            (range.end - range.start) as u32
        };
        let dims: SmallVec<[u32; 6]> = match (self, dims) {
            (Mode::Whole, _) | (_, []) => return Ok(spec.clone()),
            (Mode::Lead, [first, rest @ ..]) => {
                std::iter::once(covered(u64::from(*first))).chain(rest.iter().copied()).collect()
            }
            (Mode::Flat, _) => smallvec![covered(spec.shape.elements())],
            (Mode::Rows, [lead @ .., last]) => {
                smallvec![covered(lead.iter().map(|d| u64::from(*d)).product()), *last]
            }
        };
        Ok(Spec { shape: planned_shape(&dims)?, dtype: spec.dtype })
    }
}

/// The shape of a part or of a temporary tensor.
pub fn planned_shape(dims: &[u32]) -> Result<Shape, Fault> {
    Shape::new(dims).map_err(|error| Fault::Executor(format!("the plan of an op is wrong: {error}")))
}

/// How an op is cut: one mode per input and output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The parts.
    pub cut: Cut,
    /// Modes of the inputs.
    pub inputs: SmallVec<[Mode; 6]>,
    /// Modes of the outputs.
    pub outputs: SmallVec<[Mode; 4]>,
}

impl Split {
    /// One part.
    pub fn whole(inputs: usize, outputs: usize) -> Self {
        Self {
            cut: Cut::WHOLE,
            inputs: SmallVec::from_elem(Mode::Whole, inputs),
            outputs: SmallVec::from_elem(Mode::Whole, outputs),
        }
    }
}

/// How to cut an op for a number of threads.
pub fn split(op: &Op, inputs: &[Spec], outputs: &[Spec], threads: usize) -> Split {
    let whole = Split::whole(inputs.len(), outputs.len());
    let target = (4 * threads as u64).clamp(8, 64);
    let Some((inner, outer)) = modes(op, inputs, outputs) else { return whole };
    let Some((first, mode)) = outputs.iter().zip(&outer).chain(inputs.iter().zip(&inner)).next() else { return whole };
    if inputs.iter().chain(outputs).all(|s| s.shape.elements() < SMALL) {
        return whole;
    }
    let lead = u64::from(first.shape.first());
    let cut = match (op, mode) {
        (Op::MatMul { transpose_a: true, .. }, _) if inner[0] == Mode::Whole => {
            let inner = u64::from(inputs[0].shape.first());
            let work = first.shape.elements().saturating_mul(inner);
            Cut::new(lead, work.div_ceil(PRODUCT_PART).min(lead / PRODUCT_ROWS))
        }
        (_, Mode::Flat) if lead < target / 2 => Cut::new(first.shape.elements(), target),
        // The first axis of one row is the row.
        (_, Mode::Rows) if lead < target / 2 || first.shape.rank() == 1 => {
            let rows = first.shape.elements() / u64::from(first.shape.last());
            Cut::new(rows, parts(rows, target))
        }
        _ => Cut::new(lead, parts(lead, target)),
    };
    Split { cut, inputs: inner, outputs: outer }
}

/// How to cut an attention by its key heads, where that gives more parts than the batch does.
pub fn attention(q: &Spec, k: &Spec, threads: usize) -> Option<Cut> {
    let &[batch, _, groups, _] = k.shape.dims() else { return None };
    let small = q.shape.elements() < SMALL || groups == 1;
    if threads < 2 || small || batch as usize >= 2 * threads {
        return None;
    }
    let pairs = u64::from(batch) * u64::from(groups);
    Some(Cut::new(pairs, parts(pairs, 4 * threads as u64)))
}

/// How to cut the part of the weight's gradient that a chunk adds.
pub fn linear_loss_weight(rows: u32, vocab: u32, width: u32, threads: usize) -> Split {
    let work = u64::from(rows) * u64::from(vocab) * u64::from(width);
    let parts = (work / CHUNK_PART).clamp(1, 4 * threads.max(1) as u64).min(u64::from(vocab) / PRODUCT_ROWS);
    let cut = Cut::new(u64::from(vocab), parts);
    Split { cut, inputs: smallvec![Mode::Whole, Mode::Whole], outputs: smallvec![Mode::Lead] }
}

/// About `target` parts of n, of even size where that can be.
fn parts(n: u64, target: u64) -> u64 {
    if n <= target {
        return n;
    }
    let even = (target / 2..=2 * target).filter(|p| n.is_multiple_of(*p));
    even.min_by_key(|p| p.abs_diff(target)).unwrap_or(target)
}

type Modes = (SmallVec<[Mode; 6]>, SmallVec<[Mode; 4]>);

/// Modes of inputs and outputs; `None` for an op that is one part.
fn modes(op: &Op, inputs: &[Spec], outputs: &[Spec]) -> Option<Modes> {
    let all = |mode: Mode| Some((SmallVec::from_elem(mode, inputs.len()), SmallVec::from_elem(mode, outputs.len())));
    let some = |inputs: &[Mode], outputs: &[Mode]| Some((SmallVec::from_slice(inputs), SmallVec::from_slice(outputs)));
    let first_dims = |specs: &[Spec]| specs.first().map(|s| SmallVec::<[u32; 6]>::from_slice(s.shape.dims()));
    let same_lead = || {
        let (x, y) = (first_dims(inputs)?, first_dims(outputs)?);
        (x.len() == y.len() && x.first() == y.first()).then_some(())
    };
    match op.form() {
        Form::Elements(_) => return all(Mode::Flat),
        Form::Rows(..) => return all(Mode::Rows),
        Form::Own => {}
    }
    match op {
        Op::Cast { .. } => all(Mode::Flat),
        Op::Uniform { .. } | Op::Normal { .. } | Op::Copy | Op::Blend { .. } | Op::AdamW(_) => all(Mode::Flat),
        Op::Binary(_) | Op::Compare(_) | Op::Select => broadcast(inputs, outputs.first()?),
        Op::ArgSort { .. } => all(Mode::Rows),
        Op::LogSumExp => some(&[Mode::Rows], &[Mode::Flat]),
        Op::Rope { .. } | Op::Attention(_) | Op::AttentionGrad(_) => all(Mode::Lead),
        Op::CrossEntropy(_) => some(&[Mode::Rows, Mode::Flat], &[Mode::Flat, Mode::Flat]),
        Op::CrossEntropyGrad(_) => some(&[Mode::Rows, Mode::Flat, Mode::Flat, Mode::Whole], &[Mode::Rows]),
        Op::MatMul { transpose_a, .. } => product(*transpose_a, inputs),
        Op::Embedding => some(&[Mode::Whole, Mode::Flat], &[Mode::Rows]),
        Op::EmbeddingGrad { .. } => some(&[Mode::Whole, Mode::Whole], &[Mode::Lead]),
        Op::Permute { axes } if axes.first() == Some(&0) => all(Mode::Lead),
        Op::Narrow { axis, .. } | Op::Pad { axis, .. } | Op::Cat { axis } if *axis > 0 => all(Mode::Lead),
        Op::ArgMax { axis } | Op::CumSum { axis, .. } if *axis > 0 => all(Mode::Lead),
        Op::Gather { axis } | Op::ScatterAdd { axis } if *axis > 0 => all(Mode::Lead),
        Op::Gather { .. } => some(&[Mode::Whole, Mode::Lead], &[Mode::Lead]),
        Op::Sum { axes, .. } | Op::Mean { axes, .. } if !axes.contains(&0) => all(Mode::Lead),
        Op::Max { axes, .. } | Op::Min { axes, .. } if !axes.contains(&0) => all(Mode::Lead),
        Op::SumTo { .. } => same_lead().and_then(|()| all(Mode::Lead)),
        Op::Expand { .. } => match same_lead() {
            Some(()) => all(Mode::Lead),
            None => some(&[Mode::Whole], &[Mode::Lead]),
        },
        Op::NewtonSchulz { .. } if inputs.first()?.shape.rank() > 2 => all(Mode::Lead),
        // The first axis cannot be cut, the op is cheap, or it is planned in another way.
        _ => None,
    }
}

fn broadcast(inputs: &[Spec], output: &Spec) -> Option<Modes> {
    let shape = &output.shape;
    let even = inputs.iter().all(|s| s.shape == *shape || s.shape.elements() == 1);
    let mode = |s: &Spec| match s.shape.dims() {
        _ if even && s.shape == *shape => Mode::Flat,
        dims if !even && dims.len() == shape.rank() && dims.first() == shape.dims().first() => Mode::Lead,
        _ => Mode::Whole,
    };
    let out = if even { Mode::Flat } else { Mode::Lead };
    Some((inputs.iter().map(mode).collect(), smallvec![out]))
}

/// Rows of the result stream with rows of the first operand, or with leading indices of both; where the first operand
/// is transposed, parts of the result read all of it.
fn product(transpose_a: bool, inputs: &[Spec]) -> Option<Modes> {
    let [a, b] = inputs else { return None };
    let (a, b) = (a.shape.rank(), b.shape.rank());
    let (a, b, c) = match (transpose_a, a, b) {
        (false, _, 2) => (Mode::Rows, Mode::Whole, Mode::Rows),
        (true, 2, 2) => (Mode::Whole, Mode::Whole, Mode::Lead),
        (true, _, 2) => (Mode::Lead, Mode::Whole, Mode::Lead),
        _ => (Mode::Lead, Mode::Lead, Mode::Lead),
    };
    Some((smallvec![a, b], smallvec![c]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Binary;
    use crate::spec::DType;

    fn spec(dims: &[u32]) -> Spec {
        Spec { shape: Shape::new(dims).unwrap(), dtype: DType::F32 }
    }

    #[test]
    fn parts_cover_the_whole_in_order() {
        for (base, parts) in [(9, 9), (17, 8), (16, 8), (1, 1), (5, 3)] {
            let cut = Cut::new(base, parts);
            let mut end = 0;
            for i in 0..cut.parts {
                let range = cut.range(i, base * 6);
                assert_eq!(range.start, end);
                assert!(range.end > range.start);
                end = range.end;
            }
            assert_eq!(end, base * 6);
        }
    }

    #[test]
    fn ops_of_one_layer_have_one_cut() {
        let x = spec(&[16, 128, 256]);
        let heads = spec(&[16, 128, 4, 64]);
        let product = Op::MatMul { transpose_a: false, transpose_b: true };
        let cut = split(&product, &[x.clone(), spec(&[256, 256])], std::slice::from_ref(&x), 2).cut;
        assert_eq!(cut.parts, 8);
        let others = [
            split(&Op::RmsNorm { eps: 0.0 }, std::slice::from_ref(&x), std::slice::from_ref(&x), 2),
            split(
                &Op::Rope { base: 1.0, inverse: false },
                std::slice::from_ref(&heads),
                std::slice::from_ref(&heads),
                2,
            ),
            split(&Op::Binary(Binary::Add), &[x.clone(), x.clone()], std::slice::from_ref(&x), 2),
            split(&Op::Binary(Binary::Mul), &[x.clone(), spec(&[1])], std::slice::from_ref(&x), 2),
        ];
        for other in others {
            assert_eq!(other.cut, cut);
        }
    }

    #[test]
    fn small_and_indivisible_ops_are_one_part() {
        let x = spec(&[16, 8]);
        assert_eq!(split(&Op::Softmax, std::slice::from_ref(&x), std::slice::from_ref(&x), 8).cut, Cut::WHOLE);
        let x = spec(&[512, 512]);
        let sum = Op::Sum { axes: smallvec![0, 1], keep: false };
        assert_eq!(split(&sum, std::slice::from_ref(&x), &[spec(&[])], 8).cut, Cut::WHOLE);
    }
}
