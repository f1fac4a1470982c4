//! Golden costs, prices, and the laws that prices keep.

use super::*;
use crate::fault::Fault;
use crate::infer::infer;
use crate::op::{AdamW, Attention, Binary, Compare, Loss, Op, Unary};
use crate::spec::{DType, Shape, Spec};
use proptest::prelude::*;

/// Round numbers, so that goldens can be checked by hand.
pub(crate) fn profile() -> Profile {
    let rate = |class: Class| Rate {
        class: class.name().to_owned(),
        mflops: if class == Class::Product { 100_000 } else { 10_000 },
        bytes_per_us: 20_000,
        overhead_ps: 1_000_000,
    };
    Profile::of_rates("test", Class::ALL.map(rate).to_vec())
}

fn f(dims: &[u32]) -> Spec {
    Spec::f32(Shape::new(dims).unwrap())
}

fn u(dims: &[u32]) -> Spec {
    Spec::u32(Shape::new(dims).unwrap())
}

/// The same device by version 2 of the rules.
fn second() -> Profile {
    let memory = Memory { cache_bytes: 1 << 20, jump_ps: 5_000 };
    let guest = Instructions { free_per_op: 100, instruction_ps: 500, far_instruction_ps: 4_500 };
    Profile { rules: Rules::Two, memory, guest, ..profile() }
}

fn demand(rules: Rules, op: &Op, inputs: &[Spec]) -> Cost {
    let inputs: Vec<&Spec> = inputs.iter().collect();
    rules.cost(op, &inputs, &infer(op, &inputs).unwrap()).unwrap()
}

/// Price in picoseconds by version 2 of the rules.
fn price(op: &Op, inputs: &[Spec]) -> u64 {
    Prices::new(&second()).price(&demand(Rules::Two, op, inputs))
}

fn mask(dims: &[u32]) -> Spec {
    Spec { dtype: DType::Bool, ..f(dims) }
}

fn linear(gradients: bool) -> Op {
    Op::LinearCrossEntropy { loss: Loss::default(), gradients }
}

const ADAMW: AdamW = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.9, eps: 0.0, weight_decay: 0.0, step: 1 };

/// An attention of other than four axes cost nothing.
#[test]
fn operands_that_no_price_is_known_for_are_faults() {
    let refused = |op: &Op, inputs: &[&Spec]| {
        let by = |rules: Rules| matches!(rules.cost(op, inputs, &[f(&[2])]), Err(Fault::Executor(_)));
        by(Rules::One) && by(Rules::Two)
    };
    let how = Attention { causal: true, window: 0, scale: 1.0 };
    assert!(refused(&Op::Attention(how), &[&f(&[4, 2, 8])]));
    assert!(refused(&Op::Attention(how), &[]));
    assert!(refused(&Op::MatMul { transpose_a: false, transpose_b: false }, &[&f(&[4]), &f(&[4])]));
    assert!(refused(&Op::NewtonSchulz { coefficients: vec![] }, &[&f(&[4])]));
    assert!(refused(&Op::Embedding, &[&f(&[4, 2])]));
}

#[test]
fn golden_costs_of_version_1() {
    let s = |dims: &[u32]| Shape::new(dims).unwrap();
    let matmul = Op::MatMul { transpose_a: false, transpose_b: false };
    let cases: [(Op, Vec<Spec>, Class, u64, u64, u64); 33] = [
        (Op::Full { shape: s(&[10]), value: 1.0 }, vec![], Class::Copy, 0, 0, 40),
        (Op::Reshape { shape: s(&[10]) }, vec![f(&[2, 5])], Class::Copy, 0, 0, 0),
        (Op::Narrow { axis: 0, start: 0, len: 3 }, vec![f(&[9])], Class::Copy, 0, 25, 24),
        (
            Op::Uniform { shape: s(&[8]), low: 0.0, high: 1.0, stream: 0, position: 0 },
            vec![],
            Class::Random,
            80,
            80,
            32,
        ),
        (Op::Unary(Unary::Exp), vec![f(&[100])], Class::Elementwise, 1200, 1200, 800),
        (Op::Binary(Binary::Add), vec![f(&[4, 5]), f(&[5])], Class::Elementwise, 20, 1220, 180),
        (Op::Sum { axes: [0].into_iter().collect(), keep: false }, vec![f(&[4, 5])], Class::Reduction, 20, 20, 100),
        (matmul.clone(), vec![f(&[4, 3]), f(&[3, 16])], Class::Product, 384, 768, 4 * (12 + 48 + 64)),
        (matmul.clone(), vec![f(&[2, 4, 3]), f(&[3, 16])], Class::Product, 768, 768, 4 * (24 + 48 + 128)),
        (matmul, vec![f(&[2, 4, 3]), f(&[2, 3, 16])], Class::Product, 768, 1536, 4 * (24 + 96 + 128)),
        (Op::Embedding, vec![f(&[999, 4]), u(&[3])], Class::Gather, 0, 0, 12 + 2 * 48),
        (Op::EmbeddingGrad { rows: 10 }, vec![u(&[3]), f(&[3, 4])], Class::Gather, 12, 12, 12 + 48 + 160),
        (Op::RmsNorm { eps: 0.0 }, vec![f(&[2, 8])], Class::Norm, 64, 64, 128),
        (
            Op::Attention(Attention { causal: true, window: 0, scale: 1.0 }),
            vec![f(&[1, 4, 2, 8]); 3],
            Class::Attention,
            20 * 46,
            20 * 78,
            1056,
        ),
        (
            Op::Attention(Attention { causal: true, window: 2, scale: 1.0 }),
            vec![f(&[1, 4, 2, 8]); 3],
            Class::Attention,
            14 * 46,
            14 * 78,
            1056,
        ),
        (
            Op::CrossEntropy(Loss { softcap: 0.0, z_loss: 0.0 }),
            vec![f(&[2, 8]), u(&[2])],
            Class::Loss,
            224,
            224,
            64 + 8 + 4 + 8,
        ),
        (
            Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 5] },
            vec![f(&[8, 16])],
            Class::Product,
            25600,
            25600,
            5 * 1024,
        ),
        (Op::AdamW(ADAMW), vec![f(&[10]); 4], Class::Optimizer, 160, 160, 280),
        (Op::Cast { to: DType::Bf16 }, vec![f(&[10])], Class::Elementwise, 10, 10, 60),
        (Op::Cast { to: DType::I64 }, vec![u(&[10])], Class::Elementwise, 10, 10, 120),
        (Op::Compare(Compare::Lt), vec![f(&[4, 5]), f(&[5])], Class::Elementwise, 20, 1220, 120),
        (Op::Binary(Binary::Pow), vec![f(&[5]), f(&[1])], Class::Elementwise, 200, 200, 44),
        (Op::Binary(Binary::Rem), vec![u(&[5]), u(&[1])], Class::Elementwise, 40, 40, 44),
        (Op::Select, vec![mask(&[4]), f(&[4]), f(&[1])], Class::Elementwise, 4, 4, 4 + 16 + 4 + 16),
        (Op::Max { axes: [0].into_iter().collect(), keep: false }, vec![f(&[4, 5])], Class::Reduction, 20, 20, 100),
        (Op::ArgMax { axis: 1 }, vec![f(&[4, 5])], Class::Reduction, 20, 20, 96),
        (Op::ArgSort { descending: false }, vec![f(&[2, 8])], Class::Reduction, 256, 256, 128),
        (Op::CumSum { axis: 0, reverse: false }, vec![f(&[9])], Class::Reduction, 18, 18, 72),
        (Op::LogSumExp, vec![f(&[2, 8])], Class::Loss, 208, 208, 72),
        (Op::Gather { axis: 1 }, vec![f(&[2, 999]), u(&[2, 3])], Class::Gather, 0, 0, 24 + 2 * 24),
        (Op::ScatterAdd { axis: 0 }, vec![f(&[9]), u(&[3]), f(&[3])], Class::Gather, 3, 3, 36 + 12 + 12 + 36),
        (Op::LayerNorm { eps: 0.0 }, vec![f(&[2, 8])], Class::Norm, 96, 96, 128),
        (linear(true), vec![f(&[8, 4]), f(&[16, 4]), u(&[8])], Class::Product, 6656, 24576, 4 * (2 * 96 + 8 + 9)),
    ];
    for (op, inputs, class, flops, work, bytes) in cases {
        let found = demand(Rules::One, &op, &inputs);
        assert_eq!(found, Cost { class, flops, work, bytes, jumps: 0, span: 0 }, "{}", op.name());
    }
}

#[test]
fn golden_costs_of_version_2() {
    let s = |dims: &[u32]| Shape::new(dims).unwrap();
    let matmul = Op::MatMul { transpose_a: false, transpose_b: false };
    let attention = |window| Op::Attention(Attention { causal: true, window, scale: 1.0 });
    let heads = vec![f(&[1, 4, 2, 8]); 3];
    let golden: Vec<[u64; 4]> = [
        (Op::Full { shape: s(&[10]), value: 1.0 }, vec![]),
        (Op::Unary(Unary::Exp), vec![f(&[100])]),
        (Op::Binary(Binary::Add), vec![f(&[4, 5]), f(&[5])]),
        (Op::Binary(Binary::Add), vec![u(&[4]), u(&[4])]),
        (Op::Sum { axes: [1].into_iter().collect(), keep: false }, vec![f(&[20_000, 2])]),
        (Op::Softmax, vec![f(&[3, 5])]),
        (matmul.clone(), vec![f(&[4, 3]), f(&[3, 16])]),
        (matmul, vec![f(&[2, 4, 3]), f(&[2, 3, 16])]),
        (Op::Embedding, vec![f(&[999, 4]), u(&[3])]),
        (Op::ScatterAdd { axis: 0 }, vec![f(&[9]), u(&[3]), f(&[3])]),
        (attention(0), heads.clone()),
        (attention(2), heads),
        (Op::AdamW(ADAMW), vec![f(&[10]); 4]),
        (linear(true), vec![f(&[8, 4]), f(&[16, 4]), u(&[8])]),
        (Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 5] }, vec![f(&[8, 16])]),
        (Op::Permute { axes: [1, 0].into_iter().collect() }, vec![f(&[30, 40])]),
    ]
    .iter()
    .map(|(op, inputs)| demand(Rules::Two, op, inputs))
    .map(|cost| [cost.work, cost.bytes, cost.jumps, cost.span])
    .collect();
    assert_eq!(golden, GOLDEN);
}

/// Work, bytes, jumps, span.
const GOLDEN: [[u64; 4]; 16] = [
    [160, 40, 0, 0],
    [8800, 800, 0, 0],
    [7640, 180, 0, 0],
    [640, 48, 0, 0],
    [25854720, 240000, 0, 0],
    [21000, 120, 0, 0],
    [15264, 496, 0, 0],
    [30528, 992, 0, 0],
    [2712, 108, 3, 15984],
    [2298, 96, 6, 36],
    [448880, 1056, 0, 0],
    [448880, 1056, 0, 0],
    [1000, 280, 0, 0],
    [592672, 836, 0, 0],
    [301760, 5120, 0, 0],
    [83200, 9600, 0, 0],
];

#[test]
fn what_lies_beyond_the_cache_costs_more() {
    let prices = Prices::new(&second());
    let cost = |bytes, jumps, span| Cost { class: Class::Gather, flops: 0, work: 0, bytes, jumps, span };
    assert_eq!(prices.price(&cost(1 << 20, 7, 1 << 20)), 1_000_000, "within");
    assert_eq!(prices.price(&cost((1 << 20) + 40_000, 0, 0)), 3_000_000, "20,000 bytes per microsecond");
    assert_eq!(prices.price(&cost(0, 8, 4 << 20)), 1_030_000, "three quarters of the jumps miss");
    let table = |rows| price(&Op::Gather { axis: 0 }, &[f(&[rows]), u(&[1 << 20])]);
    assert!(table(1 << 24) - table(1 << 14) > 4_000 << 20);
}

/// Each of these took 10 to 500 times as long as version 1 said.
#[test]
fn short_rows_are_not_for_free() {
    let rows: u32 = 1 << 20;
    for (op, inputs, least_ns) in [
        (Op::Sum { axes: [1].into_iter().collect(), keep: false }, vec![f(&[rows, 2])], 8),
        (Op::Softmax, vec![f(&[rows, 2])], 25),
        (Op::LayerNormGrad { eps: 0.0 }, vec![f(&[rows, 1]); 2], 15),
        (Op::LogSumExp, vec![f(&[rows, 1])], 25),
        (Op::MatMul { transpose_a: false, transpose_b: false }, vec![f(&[rows, 1, 1]); 2], 30),
        (Op::Embedding, vec![f(&[1, 1]), u(&[rows])], 2),
        (Op::Binary(Binary::Pow), vec![f(&[rows]), f(&[1])], 25),
        (Op::CumSum { axis: 1, reverse: false }, vec![f(&[rows, 1])], 8),
    ] {
        let version_1 = Prices::new(&profile()).price(&demand(Rules::One, &op, &inputs));
        let ns = price(&op, &inputs) / 1000 * 10 / u64::from(rows) / 10;
        assert!(price(&op, &inputs) > version_1, "{}", op.name());
        // The rates of this profile are a tenth of those that the constants were measured with.
        assert!(ns >= least_ns, "{}: {ns} ns a row", op.name());
    }
}

#[test]
fn a_narrower_window_costs_less() {
    let of =
        |window| price(&Op::Attention(Attention { causal: true, window, scale: 1.0 }), &vec![f(&[8, 128, 3, 32]); 3]);
    assert!(of(16) < of(48) && of(48) < of(0), "{} {} {}", of(16), of(48), of(0));
    assert_eq!(of(128), of(0));
}

#[test]
fn instructions_are_paid_beyond_the_free_ones() {
    let prices = Prices::new(&second());
    assert_eq!(prices.free_instructions_ps(9), 50_900 * 500);
    assert_eq!(prices.instruction_ps(1 << 20), 500);
    assert_eq!(prices.instruction_ps(4 << 20), 3500, "three quarters of the memory lie beyond the cache");
}

#[test]
fn a_profile_of_version_2_has_all_its_numbers() {
    assert_eq!(second().validate(), Ok(()));
    let without = |change: fn(&mut Profile)| {
        let mut profile = second();
        change(&mut profile);
        profile.validate().map_err(|error| error.to_string())
    };
    assert!(without(|p| p.memory.jump_ps = 0).unwrap_err().contains("[memory]"));
    assert!(without(|p| p.guest.instruction_ps = 0).unwrap_err().contains("[guest]"));
}

#[test]
fn unknown_rules_are_named() {
    assert_eq!(Rules::try_from(3), Err(NoSuchRules(3)));
    assert_eq!(
        [Rules::One, Rules::Two].map(|rules| Rules::try_from(u32::from(rules))),
        [Ok(Rules::One), Ok(Rules::Two)]
    );
}

#[test]
fn prices_round_up_and_take_the_slower_of_work_and_bytes() {
    let prices = Prices::new(&profile());
    let demand = |class, work, bytes| prices.price(&Cost { class, flops: 0, work, bytes, jumps: 0, span: 0 });
    assert_eq!(demand(Class::Elementwise, 1, 0), 1_000_000 + 100);
    assert_eq!(demand(Class::Elementwise, 1, 3), 1_000_000 + 150);
    assert_eq!(demand(Class::Product, SMALL_PRODUCT, 0), 1_000_000 + 419_430_400);
    assert_eq!(demand(Class::Product, SMALL_PRODUCT + 1000, 0), 1_000_000 + 419_430_400 + 10_000);
    assert_eq!(demand(Class::Copy, 0, u64::MAX), u64::MAX);
    assert_eq!(demand(Class::Copy, u64::MAX, 0), u64::MAX);
}

#[test]
fn a_profile_has_every_class_once_and_no_zero() {
    assert_eq!(profile().validate(), Ok(()));
    let mut missing = profile();
    missing.classes.pop();
    assert!(matches!(missing.validate(), Err(ProfileError::Missing { class: "reduction", .. })));
    let mut twice = profile();
    twice.classes.push(twice.classes[0].clone());
    assert!(matches!(twice.validate(), Err(ProfileError::Extra { .. })));
    let mut zero = profile();
    zero.classes[3].mflops = 0;
    assert!(matches!(zero.validate(), Err(ProfileError::Zero { place, .. }) if place == "class gather"));
}

#[test]
fn classes_are_in_order_of_name() {
    assert!(Class::ALL.is_sorted_by_key(|c| c.name()));
    assert!(Class::ALL.iter().enumerate().all(|(i, &c)| c as usize == i));
}

/// Prices by both versions of the rules.
fn both(op: &Op, inputs: &[Spec]) -> [u64; 2] {
    [Prices::new(&profile()).price(&demand(Rules::One, op, inputs)), price(op, inputs)]
}

proptest! {
    #[test]
    fn larger_products_never_cost_less(m in 1u32..200, k in 1u32..200, n in 1u32..200, b in 1u32..4, grow in 0usize..4) {
        let price = |[m, k, n, b]: [u32; 4], shared: bool| {
            let op = Op::MatMul { transpose_a: false, transpose_b: true };
            let right = if shared { f(&[n, k]) } else { f(&[b, n, k]) };
            both(&op, &[f(&[b, m, k]), right])
        };
        let sizes = [m, k, n, b];
        let mut larger = sizes;
        larger[grow] += 1;
        for shared in [true, false] {
            let (before, after) = (price(sizes, shared), price(larger, shared));
            prop_assert!(after[0] >= before[0] && after[1] >= before[1], "{before:?} {after:?}");
        }
    }

    #[test]
    fn more_elements_never_cost_less(a in 1u32..40, b in 1u32..40, which in 0usize..14, grow in 0usize..2) {
        let price = |[a, b]: [u32; 2]| {
            let x = f(&[a, b]);
            let heads = f(&[a, b, 2, 4]);
            let (op, inputs) = match which {
                0 => (Op::Unary(Unary::Gelu), vec![x]),
                1 => (Op::Binary(Binary::Mul), vec![x, f(&[b])]),
                2 => (Op::Mean { axes: [1].into_iter().collect(), keep: true }, vec![x]),
                3 => (Op::Softmax, vec![x]),
                4 => (Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 3] }, vec![x]),
                5 => (Op::Attention(Attention { causal: true, window: 7, scale: 1.0 }), vec![heads; 3]),
                6 => (Op::CrossEntropy(Loss { softcap: 1.0, z_loss: 0.0 }), vec![x, u(&[a])]),
                7 => (Op::Permute { axes: [1, 0].into_iter().collect() }, vec![x]),
                8 => (linear(true), vec![x.clone(), f(&[17, b]), u(&[a])]),
                9 => (linear(false), vec![f(&[9, b]), x, u(&[9])]),
                10 => (Op::ArgSort { descending: true }, vec![x]),
                11 => (Op::ScatterAdd { axis: 0 }, vec![x.clone(), u(&[a, b]), x]),
                12 => {
                    let how = Attention { causal: false, window: 7, scale: 1.0 };
                    (Op::Attention(how), vec![heads; 3])
                }
                _ => (Op::Blend { keep: 1.0, scale: 1.0 }, vec![x.clone(), x]),
            };
            both(&op, &inputs)
        };
        let mut larger = [a, b];
        larger[grow] += 1;
        let (before, after) = (price([a, b]), price(larger));
        prop_assert!(after[0] >= before[0] && after[1] >= before[1], "{before:?} {after:?}");
    }
}
