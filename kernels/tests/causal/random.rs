//! Random programs. Whatever an element is said not to depend on can change; what is said to be known has its value.

use super::program::{Program, VOCAB, bits, shape};
use kernels::causal::{Cell, Needs};
use kernels::op::{Attention, Binary, Compare, Op, TensorId, Unary};
use kernels::spec::{DType, Spec, Values};
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::cell::Cell as Counter;

const ROWS: u32 = 2;
const TIME: u32 = 5;
/// Elements above which a tensor is not made larger.
const LARGE: u64 = 4000;

/// A call of the program. The numbers choose among what is possible when it is made.
#[derive(Clone, Debug)]
struct Call {
    kind: u8,
    a: usize,
    b: usize,
    n: u32,
}

const KINDS: u8 = 40;

fn call() -> impl Strategy<Value = Call> {
    (0..KINDS, 0..97usize, 0..97usize, 0..8u32).prop_map(|(kind, a, b, n)| Call { kind, a, b, n })
}

/// The program of these calls. `odd` puts infinities and NaN among the parameters.
fn program(calls: &[Call], odd: bool) -> Program {
    let grid = |n: u32, salt: u32| {
        (0..n).map(move |i| (i.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 8) as f32 / 8e6 - 1.0)
    };
    let mut table: Vec<f32> = grid(VOCAB * 4, 1).collect();
    if odd {
        (table[5], table[17], table[30], table[9]) = (f32::INFINITY, f32::NAN, f32::NEG_INFINITY, -0.0);
    }
    let given = vec![
        (Spec::f32(shape(&[VOCAB, 4])), Values::F32(table), false),
        (Spec::f32(shape(&[4, 4])), Values::F32(grid(16, 2).collect()), false),
        (Spec::f32(shape(&[TIME, TIME])), Values::F32(grid(TIME * TIME, 3).collect()), true),
    ];
    let mut program = Program::new(ROWS, TIME, given);
    let tokens = program.tokens();
    program.op(Op::Embedding, &[TensorId(0), tokens]);
    for call in calls {
        make(&mut program, call);
    }
    program
}

/// One of the tensors that fit, the younger ones more often.
fn pick(program: &Program, choice: usize, fits: impl Fn(&Spec) -> bool) -> Option<TensorId> {
    let all: Vec<TensorId> = program.all().into_iter().filter(|&id| fits(program.spec(id))).collect();
    let back = if choice.is_multiple_of(2) { choice / 2 % 6 } else { choice / 2 };
    all.len().checked_sub(1).map(|last| all[last - back % all.len()])
}

fn make(p: &mut Program, call: &Call) -> Option<TensorId> {
    let &Call { kind, a, b, n } = call;
    let float = |spec: &Spec| spec.dtype == DType::F32;
    let x = pick(p, a, float)?;
    let y = pick(p, b, float)?;
    let any = pick(p, a, |_| true)?;
    let rank = p.spec(any).shape.rank() as u32;
    let axis = n % rank.max(1);
    let size = p.dims(any).get(axis as usize).copied().unwrap_or(1);
    let x_rank = p.spec(x).shape.rank() as u32;
    let x_axis = n % x_rank.max(1);
    let small = p.spec(any).shape.elements() <= LARGE && p.spec(x).shape.elements() <= LARGE;
    if !small {
        return None;
    }
    let one = |p: &mut Program, op: Op, inputs: &[TensorId]| p.attempt(op, inputs, None);
    match kind {
        0 | 1 => one(p, Op::Unary(Unary::ALL[b % Unary::ALL.len()]), &[x]),
        2..=5 => {
            let all = [
                Binary::Add,
                Binary::Sub,
                Binary::Mul,
                Binary::Div,
                Binary::Maximum,
                Binary::Minimum,
                Binary::Pow,
                Binary::Mul,
            ];
            one(p, Op::Binary(all[n as usize]), &[x, y])
        }
        6 => {
            let whole = |spec: &Spec| matches!(spec.dtype, DType::U32 | DType::I64 | DType::U8 | DType::Bool);
            let (a, b) = (pick(p, a, whole)?, pick(p, b, whole)?);
            let all =
                [Binary::Add, Binary::Mul, Binary::And, Binary::Or, Binary::Xor, Binary::Rem, Binary::Shr, Binary::Div];
            one(p, Op::Binary(all[n as usize]), &[a, b])
        }
        7 => one(p, Op::Compare(Compare::ALL[n as usize % 6]), &[x, y]),
        8 | 9 => {
            let condition = pick(p, n as usize, |spec| spec.dtype == DType::Bool)?;
            one(p, Op::Select, &[condition, x, y])
        }
        10 => one(p, Op::Affine { mul: [0.0, 1.0, -2.0][n as usize % 3], add: 0.5 }, &[x]),
        11 => one(p, Op::Cast { to: DType::ALL[n as usize % 7] }, &[any]),
        12 | 13 => {
            let lower = p.lower(TIME);
            let hidden = p.full(&[], [0.0, f32::NEG_INFINITY, -1e9, -0.0][n as usize % 4]);
            one(p, Op::Select, &[lower, x, hidden])
        }
        14 => {
            let lower = p.lower(TIME);
            let ones = p.cast(lower, DType::F32);
            one(p, if n < 4 { Op::Unary(Unary::Log) } else { Op::Unary(Unary::Neg) }, &[ones])
        }
        15 => one(p, Op::Softmax, &[x]),
        16 => one(p, Op::LogSumExp, &[x]),
        17 => one(p, if n < 4 { Op::RmsNorm { eps: 1e-5 } } else { Op::LayerNorm { eps: 1e-5 } }, &[x]),
        18..=21 => one(p, Op::MatMul { transpose_a: n & 1 == 1, transpose_b: n & 2 == 2 }, &[x, y]),
        22 => {
            let axes = (0..x_rank).filter(|axis| b >> axis & 1 == 1).collect();
            let keep = n & 1 == 1;
            let op = match n / 2 {
                0 => Op::Sum { axes, keep },
                1 => Op::Mean { axes, keep },
                2 => Op::Max { axes, keep },
                _ => Op::Min { axes, keep },
            };
            one(p, op, &[x])
        }
        23 => one(p, Op::CumSum { axis: x_axis, reverse: b.is_multiple_of(3) }, &[x]),
        24 => one(p, Op::ArgMax { axis }, &[any]),
        25 => one(p, Op::ArgSort { descending: b.is_multiple_of(2) }, &[any]),
        26 | 27 => {
            let start = b as u32 % size;
            one(p, Op::Narrow { axis, start, len: (size - start).min(n + 1) }, &[any])
        }
        28 => one(p, Op::Pad { axis, before: b as u32 % 3, after: n % 3 }, &[any]),
        29 => one(p, Op::Cat { axis: x_axis }, &[x, y]),
        30 => {
            let wide: Vec<u32> = std::iter::once(n % 3 + 1).chain(p.dims(any)).collect();
            let shape = kernels::spec::Shape::new(&wide).ok()?;
            one(p, Op::Expand { shape }, &[any])
        }
        31 | 32 => {
            let mut dims = p.dims(any);
            if b.is_multiple_of(2) || dims.len() < 2 {
                dims.insert(axis as usize, 1);
                // A split into two halves.
                if n >= 4 && size.is_multiple_of(2) && rank > 0 {
                    (dims[axis as usize], dims[axis as usize + 1]) = (2, size / 2);
                }
            } else {
                let merged = dims.remove(axis as usize);
                let at = (axis as usize).min(dims.len() - 1);
                dims[at] *= merged;
            }
            one(p, Op::Reshape { shape: kernels::spec::Shape::new(&dims).ok()? }, &[any])
        }
        33 => {
            let mut axes: Vec<u32> = (0..rank).collect();
            axes.rotate_left(n as usize % rank.max(1) as usize);
            if b.is_multiple_of(3) {
                axes.reverse();
            }
            one(p, Op::Permute { axes: axes.into() }, &[any])
        }
        34 | 35 => {
            // Indices that lie within the axis.
            let indices = pick(p, b, |spec| spec.dtype == DType::U32)?;
            let count = p.constant(&[], Values::U32(vec![size]));
            let indices = one(p, Op::Binary(Binary::Rem), &[indices, count])?;
            match n % 3 {
                0 => one(p, Op::Gather { axis }, &[any, indices]),
                1 => one(p, Op::Embedding, &[any, indices]),
                _ => {
                    let indices = p.dims(any).len().checked_sub(1).and_then(|_| {
                        let dims = p.dims(any);
                        let shape = kernels::spec::Shape::new(&dims).ok()?;
                        one(p, Op::Expand { shape }, &[indices])
                    })?;
                    one(p, Op::Gather { axis }, &[any, indices])
                }
            }
        }
        36 => {
            let x_size = p.dims(x).get(x_axis as usize).copied().unwrap_or(1);
            let indices = pick(p, b, |spec| spec.dtype == DType::U32)?;
            let count = p.constant(&[], Values::U32(vec![x_size]));
            let indices = one(p, Op::Binary(Binary::Rem), &[indices, count])?;
            let dims = p.dims(indices);
            let values = pick(p, a + 1, |spec| spec.dtype == DType::F32 && spec.shape.dims() == dims)?;
            one(p, Op::ScatterAdd { axis: x_axis }, &[x, indices, values])
        }
        37 => one(p, Op::Arange { len: [TIME, VOCAB, 4][n as usize % 3] }, &[]),
        38 => {
            let heads = pick(p, a, |spec| float(spec) && spec.shape.dims() == [ROWS, TIME, 4])?;
            let heads = p.reshape(heads, &[ROWS, TIME, 2, 2]);
            let how = Attention { causal: n & 1 == 1, window: n / 2 % 3, scale: 0.7 };
            let turned =
                if b.is_multiple_of(2) { p.op(Op::Rope { base: 10.0, inverse: false }, &[heads]) } else { heads };
            let made = one(p, Op::Attention(how), &[turned, heads, heads])?;
            Some(p.reshape(made, &[ROWS, TIME, 4]))
        }
        _ => one(p, Op::Softcap { cap: 2.0 }, &[x]),
    }
}

/// The text, and another in which only tokens differ that the element is said not to depend on.
fn other_text(text: &[u32], cell: Cell, salt: u32) -> Vec<u32> {
    let reach = cell.may();
    let change = |(place, &token): (usize, &u32)| {
        let (row, position) = (place as u32 / TIME, place as u32 % TIME);
        let read =
            reach.latest().is_some_and(|latest| position <= latest) && (reach.row().is_none() || reach.is_within(row));
        if read { token } else { (token + 1 + (place as u32 * 7 + salt) % (VOCAB - 1)) % VOCAB }
    };
    text.iter().enumerate().map(change).collect()
}

thread_local! {
    /// Elements that were seen to stay, so that the test is known to see something.
    static SEEN: Counter<u64> = const { Counter::new(0) };
}

fn stays(program: &Program, text: &[u32], salt: u32) -> Result<(), TestCaseError> {
    for id in program.all() {
        let (cells, needs) = program.elements(id);
        let Some((plain, true)) = program.values(text, &[id], &needs) else { continue };
        let plain = bits(&plain[0]);
        let mut kinds: Vec<Cell> = Vec::new();
        for &cell in &cells {
            if !kinds.iter().any(|kind| kind.may() == cell.may()) {
                kinds.push(cell);
            }
        }
        for (cell, value) in cells.iter().zip(&plain) {
            if let Cell::Known(bits) = cell {
                let known = bits_of_known(*bits, program.spec(id).dtype);
                prop_assert_eq!(known, *value, "{:?} is said to be known", id);
            }
        }
        for kind in kinds {
            let text = other_text(text, kind, salt);
            let Some((moved, true)) = program.values(&text, &[id], &needs) else { continue };
            let moved = bits(&moved[0]);
            for (place, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.may() == kind.may()) {
                prop_assert_eq!(plain[place], moved[place], "{:?} element {}: {:?}", id, place, cell);
                SEEN.with(|seen| seen.set(seen.get() + 1));
            }
        }
    }
    Ok(())
}

fn bits_of_known(known: u64, dtype: DType) -> u64 {
    let sign = match dtype {
        DType::F32 => 1 << 31,
        DType::Bf16 | DType::F16 => 1 << 15,
        _ => return known,
    };
    if known == sign { 0 } else { known }
}

proptest! {
    #![proptest_config(Config { cases: 256, failure_persistence: None, ..Config::default() })]
    #[test]
    fn what_is_not_read_moves_nothing(
        calls in prop::collection::vec(call(), 1..14),
        text in prop::collection::vec(0..VOCAB, (ROWS * TIME) as usize),
        salt in 0..1000u32,
        odd: bool,
    ) {
        stays(&program(&calls, odd), &text, salt)?;
    }
}

/// The signs of zeros are not told apart. Only these ops can tell them, and the rules know it.
#[test]
fn no_other_function_tells_the_sign_of_zero() {
    let mut program = Program::new(1, 1, vec![(Spec::f32(shape(&[2])), Values::F32(vec![0.0, -0.0]), false)]);
    let x = TensorId(0);
    let made: Vec<(Unary, TensorId)> = Unary::ALL.into_iter().map(|f| (f, program.unary(f, x))).collect();
    for (f, id) in made {
        let (values, _) = program.values(&[0], &[id], &Needs::new()).unwrap();
        let bits = bits(&values[0]);
        assert_eq!(bits[0] == bits[1], f != Unary::Rsqrt, "{f:?}");
    }
}

/// A weight times an infinity has the weight's sign.
#[test]
fn a_product_with_a_parameter_is_not_known() {
    let log_of_mask = Call { kind: 14, a: 0, b: 0, n: 0 };
    let product = Call { kind: 18, a: 90, b: 0, n: 0 };
    stays(&program(&[log_of_mask, product], false), &[0; (ROWS * TIME) as usize], 0).unwrap();
}
