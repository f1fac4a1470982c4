//! Which dtypes an op's operands may have. Arithmetic is done in f32 and in integers; bf16 and f16 are moved, cast and
//! multiplied.

use crate::op::{Binary, Compare, Op};
use crate::spec::{DType, Spec};

/// A set of dtypes, a bit for each code.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Dtypes(u8);

const fn of(list: &[DType]) -> Dtypes {
    let (mut bits, mut i) = (0, 0);
    while i < list.len() {
        bits |= 1 << list[i] as u8;
        i += 1;
    }
    Dtypes(bits)
}

const ANY: Dtypes = of(&DType::ALL);
const F32: Dtypes = of(&[DType::F32]);
const U32: Dtypes = of(&[DType::U32]);
const BOOL: Dtypes = of(&[DType::Bool]);
const FLOATS: Dtypes = of(&[DType::F32, DType::Bf16, DType::F16]);
const INTEGERS: Dtypes = of(&[DType::U8, DType::U32, DType::I64]);
const NUMBERS: Dtypes = of(&[DType::F32, DType::U8, DType::U32, DType::I64]);
const NUMBERS_AND_BOOL: Dtypes = of(&[DType::F32, DType::U8, DType::U32, DType::I64, DType::Bool]);
const BITS: Dtypes = of(&[DType::U8, DType::U32, DType::I64, DType::Bool]);

impl Dtypes {
    fn has(self, dtype: DType) -> bool {
        self.0 >> dtype as u8 & 1 == 1
    }

    fn names(self) -> String {
        let names: Vec<&str> = DType::ALL.into_iter().filter(|d| self.has(*d)).map(DType::name).collect();
        match names.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            names => names.concat(),
        }
    }
}

/// What operand `place` may be.
fn allowed(op: &Op, place: usize) -> Dtypes {
    match (op, place) {
        (Op::Reshape { .. } | Op::Permute { .. } | Op::Narrow { .. } | Op::Expand { .. } | Op::Copy, _) => ANY,
        (Op::Pad { .. } | Op::Cat { .. } | Op::Assign | Op::Cast { .. }, _) => ANY,
        (Op::Select, 0) => BOOL,
        (Op::Select, _) | (Op::Embedding | Op::Gather { .. }, 0) => ANY,
        (Op::Embedding | Op::Gather { .. } | Op::ScatterAdd { .. }, 1) | (Op::EmbeddingGrad { .. }, 0) => U32,
        (Op::CrossEntropy(_) | Op::CrossEntropyGrad(_), 1) | (Op::LinearCrossEntropy { .. }, 2) => U32,
        (Op::Binary(Binary::Pow), _) => F32,
        (Op::Binary(Binary::And | Binary::Or | Binary::Xor), _) => BITS,
        (Op::Binary(Binary::Rem | Binary::Shl | Binary::Shr), _) => INTEGERS,
        (Op::Binary(_) | Op::ArgSort { .. } | Op::ArgMax { .. }, _) => NUMBERS,
        (Op::Compare(Compare::Eq | Compare::Ne), _) => NUMBERS_AND_BOOL,
        (Op::Compare(_), _) => NUMBERS,
        (Op::MatMul { .. }, _) => FLOATS,
        _ => F32,
    }
}

/// The operand whose dtype `place` must have too.
fn alike(op: &Op, place: usize) -> usize {
    match op {
        Op::Cat { .. } | Op::Assign | Op::Binary(_) | Op::Compare(_) => 0,
        Op::Select if place == 2 => 1,
        _ => place,
    }
}

/// Why the operands' dtypes do not do, or none.
pub(super) fn wrong(op: &Op, inputs: &[&Spec]) -> Option<String> {
    inputs.iter().enumerate().find_map(|(place, spec)| {
        let allowed = allowed(op, place);
        let twin = inputs.get(alike(op, place)).map_or(spec.dtype, |s| s.dtype);
        let wanted = if !allowed.has(spec.dtype) {
            allowed.names()
        } else if spec.dtype != twin {
            twin.name().to_owned()
        } else {
            return None;
        };
        Some(format!("operand {} is {}, it must be {wanted}", place + 1, spec.dtype.name()))
    })
}
