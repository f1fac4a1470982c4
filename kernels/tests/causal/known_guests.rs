//! Programs whose verdict is known: what honest guests are made of, and ways to look ahead or at other rows.

use super::program::{Program, VOCAB, shape};
use kernels::causal::{Finding, Leak, MAX_HELD, Need, Why};
use kernels::op::{Attention, Binary, Op, TensorId, Unary};
use kernels::spec::{DType, Spec, Values};
use smallvec::smallvec;

const ROWS: u32 = 3;
const TIME: u32 = 8;
const WIDTH: u32 = 4;
const TABLE: TensorId = TensorId(0);
const WEIGHT: TensorId = TensorId(1);
const HEAD: TensorId = TensorId(2);
/// A buffer [time, time].
const STORED: TensorId = TensorId(3);

fn program() -> (Program, TensorId) {
    let zeros = |dims: &[u32]| {
        let spec = Spec::f32(shape(dims));
        let values = Values::zeros(DType::F32, spec.shape.elements() as usize);
        (spec, values)
    };
    let given =
        [(&[VOCAB, WIDTH][..], false), (&[WIDTH, WIDTH], false), (&[WIDTH, VOCAB], false), (&[TIME, TIME], true)];
    let given = given.map(|(dims, buffer)| {
        let (spec, values) = zeros(dims);
        (spec, values, buffer)
    });
    let mut p = Program::new(ROWS, TIME, given.to_vec());
    let tokens = p.tokens();
    let x = p.op(Op::Embedding, &[TABLE, tokens]);
    (p, x)
}

/// The verdict on x [rows, time, width] as a guest's last hidden state.
fn verdict(mut p: Program, x: TensorId) -> Finding {
    let logits = p.matmul(x, HEAD, false);
    p.prove(logits)
}

/// x·xᵀ by rows: [rows, time, time].
fn scores(p: &mut Program, x: TensorId) -> TensorId {
    let q = p.matmul(x, WEIGHT, false);
    p.matmul(q, x, true)
}

fn proved(p: Program, x: TensorId) {
    let found = verdict(p, x);
    assert!(matches!(found, Finding::Proved(_)), "{found:?}");
}

/// Checks the op that is named, and how many times it stands before that.
fn ahead(p: Program, x: TensorId, op: &str) -> Leak {
    match verdict(p, x) {
        Finding::LooksAhead(leak) if leak.op == op => leak,
        found => panic!("{found:?}, not by {op}"),
    }
}

fn mixed(p: Program, x: TensorId, op: &str) {
    match verdict(p, x) {
        Finding::MixesRows(leak) if leak.op == op => {}
        found => panic!("{found:?}, not by {op}"),
    }
}

fn unproved(p: Program, x: TensorId, op: &str, rows: bool) {
    match verdict(p, x) {
        Finding::Unproved(Why::Op { leak, rows: found }) if leak.op == op && found == rows => {}
        found => panic!("{found:?}, not by {op}"),
    }
}

#[test]
fn fused_attention_is_proved_where_it_is_causal() {
    for (causal, window) in [(true, 0), (true, 3), (false, 0), (false, 2)] {
        let (mut p, x) = program();
        let heads = p.reshape(x, &[ROWS, TIME, 2, 2]);
        let y = p.op(Op::Attention(Attention { causal, window, scale: 1.0 }), &[heads, heads, heads]);
        let y = p.reshape(y, &[ROWS, TIME, WIDTH]);
        if causal {
            let Finding::Proved(needs) = verdict(p, y) else { panic!("window {window}") };
            assert_eq!(needs.into_iter().collect::<Vec<_>>(), [(heads, Need::Finite)]);
        } else {
            let leak = ahead(p, y, "attention");
            assert_eq!((leak.position, leak.latest), (0, if window == 0 { TIME - 1 } else { window - 1 }));
        }
    }
}

#[test]
fn attention_of_small_ops_is_proved_by_its_mask() {
    // −∞, or any number, in the place of what must not be seen.
    for hidden in [f32::NEG_INFINITY, -1e9] {
        let (mut p, x) = program();
        let (scores, lower) = (scores(&mut p, x), p.lower(TIME));
        let hidden_score = p.full(&[], hidden);
        let masked = p.op(Op::Select, &[lower, scores, hidden_score]);
        let exp = p.unary(Unary::Exp, masked);
        let sums = p.op(Op::Sum { axes: smallvec![2], keep: true }, &[exp]);
        let weights = p.binary(Binary::Div, exp, sums);
        let y = p.matmul(weights, x, false);
        proved(p, y);
    }
    // −∞ added, and softmax.
    let (mut p, x) = program();
    let (scores, lower) = (scores(&mut p, x), p.lower(TIME));
    let ones = p.cast(lower, DType::F32);
    let mask = p.unary(Unary::Log, ones);
    let masked = p.binary(Binary::Add, scores, mask);
    let weights = p.op(Op::Softmax, &[masked]);
    let y = p.matmul(weights, x, false);
    let Finding::Proved(needs) = verdict(p, y) else { panic!() };
    let expected = [(x, Need::Finite), (scores, Need::BelowInfinity), (weights, Need::Finite)];
    assert_eq!(needs.into_iter().collect::<Vec<_>>(), expected);
    // Scores times a mask of 0 and 1, without softmax: linear attention.
    let (mut p, x) = program();
    let (scores, lower) = (self::scores(&mut p, x), p.lower(TIME));
    let ones = p.cast(lower, DType::F32);
    let masked = p.binary(Binary::Mul, scores, ones);
    let y = p.matmul(masked, x, false);
    proved(p, y);
}

#[test]
fn attention_without_its_mask_looks_ahead() {
    let (mut p, x) = program();
    let scores = scores(&mut p, x);
    let weights = p.op(Op::Softmax, &[scores]);
    let y = p.matmul(weights, x, false);
    let leak = ahead(p, y, "matmul");
    assert_eq!((leak.position, leak.latest), (0, TIME - 1));
}

/// A mask is not told from a leak where only values say so: the guest is not accused.
#[test]
fn what_a_soft_or_stored_mask_may_hide_is_left_open() {
    for (stored, f) in [(false, Binary::Add), (true, Binary::Add), (true, Binary::Mul)] {
        let (mut p, x) = program();
        let scores = scores(&mut p, x);
        let mask = match stored {
            true => STORED,
            false => {
                let hidden = |i: u32| if i % TIME > i / TIME { -1e9 } else { 0.0 };
                p.constant(&[TIME, TIME], Values::F32((0..TIME * TIME).map(hidden).collect()))
            }
        };
        let masked = p.binary(f, scores, mask);
        let weights = p.op(Op::Softmax, &[masked]);
        let y = p.matmul(weights, x, false);
        unproved(p, y, "matmul", false);
    }
}

/// Other constants hide nothing: a table of positions, a small factor for all.
#[test]
fn no_constant_excuses_a_look_ahead() {
    let (mut p, x) = program();
    let positions = p.constant(&[TIME, WIDTH], Values::F32((0..TIME * WIDTH).map(|i| i as f32).collect()));
    let x = p.binary(Binary::Add, x, positions);
    let all = p.op(Op::Mean { axes: smallvec![1], keep: true }, &[x]);
    let faint = p.op(Op::Affine { mul: 1e-9, add: 0.0 }, &[all]);
    let y = p.binary(Binary::Add, x, faint);
    assert_eq!(ahead(p, y, "mean").latest, TIME - 1);
}

#[test]
fn shifts_are_proved_backwards_and_refused_forwards() {
    let (mut p, x) = program();
    let padded = p.op(Op::Pad { axis: 1, before: 2, after: 0 }, &[x]);
    let earlier = p.narrow(padded, 1, 0, TIME);
    let y = p.binary(Binary::Add, x, earlier);
    proved(p, y);
    let (mut p, x) = program();
    let next = p.narrow(x, 1, 1, TIME - 1);
    let next = p.op(Op::Pad { axis: 1, before: 0, after: 1 }, &[next]);
    let y = p.binary(Binary::Add, x, next);
    let leak = ahead(p, y, "narrow");
    assert_eq!((leak.position, leak.latest), (0, 1));
    // There and back.
    let (mut p, x) = program();
    let next = p.narrow(x, 1, 1, TIME - 1);
    let back = p.op(Op::Pad { axis: 1, before: 1, after: 0 }, &[next]);
    let y = p.binary(Binary::Add, x, back);
    proved(p, y);
}

#[test]
fn running_sums_are_proved_forwards_and_refused_backwards() {
    for reverse in [false, true] {
        let (mut p, x) = program();
        let y = p.op(Op::CumSum { axis: 1, reverse }, &[x]);
        if reverse {
            ahead(p, y, "cumsum");
        } else {
            proved(p, y);
        }
    }
}

#[test]
fn known_indices_read_what_they_name() {
    for by in [-1i64, 1] {
        let (mut p, x) = program();
        let places = (0..i64::from(TIME)).map(|t| (t + by).clamp(0, i64::from(TIME) - 1) as u32);
        let places = p.constant(&[1, TIME, 1], Values::U32(places.collect()));
        let places = p.op(Op::Expand { shape: shape(&[ROWS, TIME, WIDTH]) }, &[places]);
        let y = p.op(Op::Gather { axis: 1 }, &[x, places]);
        if by > 0 {
            ahead(p, y, "gather");
        } else {
            proved(p, y);
        }
    }
}

#[test]
fn indices_made_of_tokens_read_everything() {
    // Where they know their place they may look back only: left open.
    let (mut p, x) = program();
    let tokens = p.tokens();
    let places = p.op(Op::Arange { len: TIME }, &[]);
    let back = p.binary(Binary::Minimum, tokens, places);
    let back = p.reshape(back, &[ROWS, TIME, 1]);
    let back = p.op(Op::Expand { shape: shape(&[ROWS, TIME, WIDTH]) }, &[back]);
    let y = p.op(Op::Gather { axis: 1 }, &[x, back]);
    unproved(p, y, "gather", false);
    // Made of tokens alone they point anywhere.
    let (mut p, x) = program();
    let tokens = p.tokens();
    let size = p.constant(&[], Values::U32(vec![TIME]));
    let places = p.binary(Binary::Rem, tokens, size);
    let places = p.reshape(places, &[ROWS, TIME, 1]);
    let places = p.op(Op::Expand { shape: shape(&[ROWS, TIME, WIDTH]) }, &[places]);
    let y = p.op(Op::Gather { axis: 1 }, &[x, places]);
    ahead(p, y, "gather");
}

#[test]
fn order_and_counts_over_time_look_ahead() {
    // Sorted tokens.
    let (mut p, x) = program();
    let tokens = p.tokens();
    let order = p.op(Op::ArgSort { descending: false }, &[tokens]);
    let sorted = p.op(Op::Gather { axis: 1 }, &[tokens, order]);
    let y = p.op(Op::Embedding, &[TABLE, sorted]);
    let y = p.binary(Binary::Add, x, y);
    ahead(p, y, "gather");
    // The place of the largest.
    let (mut p, x) = program();
    let best = p.op(Op::ArgMax { axis: 1 }, &[x]);
    let best = p.cast(best, DType::F32);
    let best = p.reshape(best, &[ROWS, 1, WIDTH]);
    let y = p.binary(Binary::Add, x, best);
    ahead(p, y, "argmax");
    // How often each token stands in the row.
    let (mut p, x) = program();
    let tokens = p.tokens();
    let (none, ones) = (p.full(&[ROWS, VOCAB], 0.0), p.full(&[ROWS, TIME], 1.0));
    let counts = p.op(Op::ScatterAdd { axis: 1 }, &[none, tokens, ones]);
    let counts = p.reshape(counts, &[ROWS, 1, VOCAB]);
    let logits = p.matmul(x, HEAD, false);
    let logits = p.binary(Binary::Add, logits, counts);
    let Finding::LooksAhead(leak) = p.prove(logits) else { panic!() };
    assert_eq!(leak.op, "scatter-add");
}

#[test]
fn rows_stay_apart() {
    for (axes, op) in [(smallvec![0], "mean"), (smallvec![0, 1], "mean")] {
        let (mut p, x) = program();
        let all = p.op(Op::Mean { axes, keep: true }, &[x]);
        let y = p.binary(Binary::Add, x, all);
        mixed(p, y, op);
    }
    // The row above.
    let (mut p, x) = program();
    let (last, others) = (p.narrow(x, 0, ROWS - 1, 1), p.narrow(x, 0, 0, ROWS - 1));
    let above = p.op(Op::Cat { axis: 0 }, &[last, others]);
    let y = p.binary(Binary::Add, x, above);
    mixed(p, y, "cat");
    // Rows laid end to end.
    let (mut p, x) = program();
    let flat = p.reshape(x, &[ROWS * TIME, WIDTH]);
    let sums = p.op(Op::CumSum { axis: 0, reverse: false }, &[flat]);
    let y = p.reshape(sums, &[ROWS, TIME, WIDTH]);
    mixed(p, y, "cumsum");
    // The same without a sum.
    let (mut p, x) = program();
    let flat = p.reshape(x, &[ROWS * TIME, WIDTH]);
    let y = p.matmul(flat, WEIGHT, false);
    let y = p.reshape(y, &[ROWS, TIME, WIDTH]);
    proved(p, y);
}

/// A look ahead at few texts only is one.
#[test]
fn a_rare_look_ahead_is_one() {
    let (mut p, x) = program();
    let tokens = p.tokens();
    let next = p.narrow(tokens, 1, 1, TIME - 1);
    let last = p.narrow(tokens, 1, TIME - 1, 1);
    let next = p.op(Op::Cat { axis: 1 }, &[next, last]);
    let seven = p.constant(&[], Values::U32(vec![7]));
    let rare = p.op(Op::Compare(kernels::op::Compare::Eq), &[next, seven]);
    let rare = p.reshape(rare, &[ROWS, TIME, 1]);
    let zero = p.full(&[], 0.0);
    let hint = p.op(Op::Embedding, &[TABLE, next]);
    let hint = p.op(Op::Select, &[rare, hint, zero]);
    let y = p.binary(Binary::Add, x, hint);
    ahead(p, y, "narrow");
}

/// 1/0 tells the zero's sign, which a hidden value decides.
#[test]
fn the_sign_of_a_zero_hides_nothing() {
    let (mut p, x) = program();
    let next = p.narrow(x, 1, 1, TIME - 1);
    let next = p.op(Op::Pad { axis: 1, before: 0, after: 1 }, &[next]);
    let none = p.full(&[TIME, 1], 0.0);
    let signs = p.binary(Binary::Mul, next, none);
    let one = p.full(&[], 1.0);
    let told = p.binary(Binary::Div, one, signs);
    let capped = p.op(Op::Softcap { cap: 1.0 }, &[told]);
    let y = p.binary(Binary::Add, x, capped);
    let found = verdict(p, y);
    assert!(matches!(found, Finding::Unproved(_)), "{found:?}");
}

/// A proof holds a bounded number of cells at a time, however many tensors a guest keeps.
#[test]
fn more_cells_than_may_be_held_leave_it_unproved() {
    let verdict = |frees: bool| {
        let time = 512;
        let given = [[VOCAB, WIDTH], [WIDTH, VOCAB]].map(|dims| {
            let spec = Spec::f32(shape(&dims));
            let values = Values::zeros(DType::F32, spec.shape.elements() as usize);
            (spec, values, false)
        });
        let mut p = Program::new(ROWS, time, given.to_vec());
        let tokens = p.tokens();
        let x = p.op(Op::Embedding, &[TensorId(0), tokens]);
        // One element for each pair of positions.
        let mut pairs = p.matmul(x, x, true);
        for _ in 0..=MAX_HELD as u32 / (ROWS * time * time) {
            let next = p.unary(Unary::Tanh, pairs);
            if frees {
                p.free(pairs);
            }
            pairs = next;
        }
        let logits = p.matmul(x, TensorId(1), false);
        p.prove(logits)
    };
    assert!(matches!(verdict(true), Finding::Proved(_)), "{:?}", verdict(true));
    assert_eq!(verdict(false), Finding::Unproved(Why::TooLarge));
}
