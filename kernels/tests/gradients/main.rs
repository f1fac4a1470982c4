//! Gradients as a session computes them on the CPU executor, against central differences of the f64 reference.
//! Tolerance, unless a test says otherwise: |got − want| ≤ 1e−4·(1 + |want|).

mod network;
#[path = "../reference/mod.rs"]
mod reference;

use kernels::cpu::CpuExecutor;
use kernels::op::{Attention, Binary, Compare, Loss, Op, Unary};
use kernels::session::Answers;
use kernels::spec::{DType, Shape, Values};
use network::Network;
use reference::sample::Sample;
use reference::session::{RANDOM_SEED, open};
use smallvec::smallvec;

const TOLERANCE: f64 = 1e-4;
const CASES: u64 = 12;

fn shape(dims: &[u32]) -> Shape {
    Shape::new(dims).unwrap()
}

#[test]
fn elementwise_functions() {
    for f in Unary::ALL {
        for seed in 0..CASES {
            let mut net = Network::new(seed);
            let dims = net.sample.dims(0..=3, 5);
            let x = match f {
                Unary::Log | Unary::Sqrt | Unary::Rsqrt => net.positive(&dims),
                _ => net.parameter(&dims),
            };
            net.op(Op::Unary(f), &[x]);
            net.check(&format!("{f:?}, {seed}"), TOLERANCE);
        }
    }
}

#[test]
fn binary_functions_broadcast() {
    let all = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Maximum, Binary::Minimum];
    for f in all {
        for seed in 0..CASES {
            let mut net = Network::new(seed);
            let wide = net.sample.dims(1..=3, 4);
            let sides = [narrowed(&mut net.sample, &wide), narrowed(&mut net.sample, &wide)];
            let a = net.parameter(&sides[0]);
            let b = net.positive(&sides[1]);
            net.op(Op::Binary(f), &[a, b]);
            net.check(&format!("{f:?} of {sides:?}"), TOLERANCE);
        }
    }
}

/// A shape that broadcasts to `wide`: some axes of size 1, some leading axes gone.
fn narrowed(sample: &mut Sample, wide: &[u32]) -> Vec<u32> {
    let gone = sample.size(0..=wide.len() as u32) as usize;
    let rest = wide[gone..].iter();
    rest.map(|&size| if sample.coin() { 1 } else { size }).collect()
}

#[test]
fn powers_broadcast() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let wide = net.sample.dims(1..=3, 3);
        let sides = [narrowed(&mut net.sample, &wide), narrowed(&mut net.sample, &wide)];
        let (a, b) = (net.positive(&sides[0]), net.parameter(&sides[1]));
        net.op(Op::Binary(Binary::Pow), &[a, b]);
        net.check(&format!("pow of {sides:?}"), TOLERANCE);
    }
}

#[test]
fn choices_pass_the_gradient_to_what_was_chosen() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let wide = net.sample.dims(1..=3, 4);
        let sides = [narrowed(&mut net.sample, &wide), narrowed(&mut net.sample, &wide)];
        let (a, b) = (net.parameter(&sides[0]), net.parameter(&sides[1]));
        let condition = net.op(Op::Compare(Compare::Gt), &[a, b]);
        let square = net.op(Op::Unary(Unary::Square), &[a]);
        net.op(Op::Select, &[condition, square, b]);
        net.check(&format!("select of {sides:?}"), TOLERANCE);
    }
}

#[test]
fn extremes_share_the_gradient() {
    for seed in 0..CASES {
        for keep in [false, true] {
            let mut net = Network::new(seed);
            let dims = net.sample.dims(1..=4, 4);
            let axes: Vec<u32> = (0..dims.len() as u32).filter(|_| net.sample.coin()).collect();
            let x = net.parameter(&dims);
            let cube = net.op(Op::Binary(Binary::Mul), &[x, x]);
            let max = net.op(Op::Max { axes: axes.as_slice().into(), keep }, &[x]);
            let min = net.op(Op::Min { axes: axes.as_slice().into(), keep }, &[cube]);
            net.op(Op::Binary(Binary::Mul), &[max, min]);
            net.check(&format!("{dims:?} over {axes:?}"), 3e-4);
        }
    }
    let executor = CpuExecutor::new(1, RANDOM_SEED).unwrap();
    let mut s = open(Box::new(executor), Answers::Execute);
    let first = s.constant(&[4], Values::F32(vec![2.0, 5.0, 5.0, 1.0])).unwrap();
    let p = s.parameter("p", first).unwrap();
    let max = s.submit(Op::Max { axes: smallvec![0], keep: false }, &[p]).unwrap();
    let gradient = s.backward(max, &[p]).unwrap()[0];
    assert_eq!(s.peek(gradient), Ok(vec![0.0, 0.5, 0.5, 0.0]));
}

#[test]
fn running_sums_and_padding() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let dims = net.sample.dims(1..=3, 5);
        let axis = net.sample.size(0..=dims.len() as u32 - 1);
        let x = net.parameter(&dims);
        let sum = net.op(Op::CumSum { axis, reverse: seed % 2 == 1 }, &[x]);
        let square = net.op(Op::Unary(Unary::Square), &[sum]);
        net.op(Op::Pad { axis, before: 1, after: 2 }, &[square]);
        net.check(&format!("{dims:?} along {axis}"), 3e-4);
    }
}

#[test]
fn logsumexp_and_layer_norm() {
    for seed in 0..CASES {
        for op in [Op::LogSumExp, Op::LayerNorm { eps: 0.1 }] {
            let mut net = Network::new(seed);
            let dims = net.sample.dims(1..=3, 6);
            let x = net.parameter(&dims);
            let what = format!("{op:?} of {dims:?}");
            net.op(op, &[x]);
            net.check(&what, TOLERANCE);
        }
    }
}

#[test]
fn gathering_and_scattering() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let dims = net.sample.dims(1..=3, 4);
        let axis = net.sample.size(0..=dims.len() as u32 - 1);
        let mut picked = dims.clone();
        picked[axis as usize] = net.sample.size(1..=5);
        let (x, other) = (net.parameter(&dims), net.parameter(&dims));
        let indices = net.indices(&picked, dims[axis as usize]);
        let values = net.op(Op::Gather { axis }, &[x, indices]);
        let square = net.op(Op::Unary(Unary::Square), &[values]);
        net.op(Op::ScatterAdd { axis }, &[other, indices, square]);
        net.check(&format!("{dims:?} along {axis}, {picked:?}"), TOLERANCE);
    }
}

#[test]
fn linear_cross_entropy_and_z_loss() {
    for seed in 0..CASES {
        let loss = Loss { softcap: if seed % 2 == 0 { 3.0 } else { 0.0 }, z_loss: 0.05 };
        let mut net = Network::new(seed);
        let rows = net.sample.dims(0..=2, 4);
        let (vocab, width) = (net.sample.size(1..=6), net.sample.size(1..=4));
        let x = net.parameter(&[rows.as_slice(), &[width]].concat());
        let weight = net.parameter(&[vocab, width]);
        let targets = net.indices(&rows, vocab);
        let doubled = net.op(Op::Affine { mul: 2.0, add: 0.0 }, &[x]);
        let whole = net.op(Op::LinearCrossEntropy { loss, gradients: false }, &[doubled, weight, targets]);
        let logits_input = if rows.is_empty() { None } else { Some(doubled) };
        if let Some(doubled) = logits_input {
            let logits = net.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[doubled, weight]);
            let parts = net.op(Op::CrossEntropy(loss), &[logits, targets]);
            net.op(Op::Binary(Binary::Mul), &[whole, parts]);
        }
        net.check(&format!("{rows:?} of {vocab}, width {width}"), 3e-4);
    }
}

/// Rounding to bf16 and back passes the gradient on as it is, in f32.
#[test]
fn gradients_flow_through_halves() {
    let executor = CpuExecutor::new(1, RANDOM_SEED).unwrap();
    let mut s = open(Box::new(executor), Answers::Execute);
    let first = s.constant(&[2, 2], Values::F32(vec![1.0, 2.0, 3.0, 4.0])).unwrap();
    let p = s.parameter("p", first).unwrap();
    let half = s.submit(Op::Cast { to: DType::Bf16 }, &[p]).unwrap();
    let part = s.submit(Op::Narrow { axis: 0, start: 1, len: 1 }, &[half]).unwrap();
    let product = Op::MatMul { transpose_a: false, transpose_b: true };
    let y = s.submit(product, &[part, part]).unwrap();
    let loss = s.submit(Op::Sum { axes: smallvec![0, 1], keep: false }, &[y]).unwrap();
    let gradient = s.backward(loss, &[p]).unwrap()[0];
    assert_eq!(s.spec(gradient).unwrap().dtype, DType::F32);
    assert_eq!(s.peek(gradient), Ok(vec![0.0, 0.0, 6.0, 8.0]));
}

/// A checkpointed segment gives the same bits, and keeps less alive.
#[test]
fn checkpoints_change_memory_alone() {
    let train = |checkpointed: bool| {
        let executor = CpuExecutor::new(2, RANDOM_SEED).unwrap();
        let mut s = open(Box::new(executor), Answers::Execute);
        let normal = Op::Normal { shape: shape(&[16, 16]), mean: 0.0, std: 0.3, stream: 0, position: 0 };
        let first = s.submit(normal, &[]).unwrap();
        let w = s.parameter("w", first).unwrap();
        let mut x = s.submit(Op::Unary(Unary::Sin), &[w]).unwrap();
        for _ in 0..4 {
            if checkpointed {
                s.begin_checkpoint().unwrap();
            }
            let mut y = x;
            for op in [Op::RmsNorm { eps: 1e-5 }, Op::Unary(Unary::Gelu), Op::Softmax, Op::Unary(Unary::Tanh)] {
                let product = s.submit(Op::MatMul { transpose_a: false, transpose_b: true }, &[y, w]).unwrap();
                let next = s.submit(op, &[product]).unwrap();
                if y != x {
                    s.release(y);
                }
                s.release(product);
                y = next;
            }
            if checkpointed {
                s.end_checkpoint().unwrap();
            }
            s.release(x);
            x = y;
        }
        let axes = smallvec![0, 1];
        let square = s.submit(Op::Unary(Unary::Square), &[x]).unwrap();
        let loss = s.submit(Op::Sum { axes, keep: false }, &[square]).unwrap();
        s.release(x);
        s.release(square);
        let gradient = s.backward(loss, &[w]).unwrap()[0];
        let totals = s.totals();
        (s.peek(gradient).unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>(), totals)
    };
    let ((plain, whole), (again, less)) = (train(false), train(true));
    assert_eq!(plain, again);
    assert!(less.peak_bytes < whole.peak_bytes, "{} and {}", less.peak_bytes, whole.peak_bytes);
    assert!(less.spent_ps > whole.spent_ps, "computing again is charged");
}

#[test]
fn affine_and_softcap() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let dims = net.sample.dims(0..=3, 5);
        let x = net.parameter(&dims);
        let y = net.op(Op::Affine { mul: -1.5, add: 0.25 }, &[x]);
        let z = net.op(Op::Affine { mul: 1.0, add: 0.5 }, &[y]);
        net.op(Op::Softcap { cap: 2.5 }, &[z]);
        net.check(&format!("{dims:?}"), TOLERANCE);
    }
}

#[test]
fn changes_of_shape() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let [a, b, c] = [0; 3].map(|_| net.sample.size(1..=4));
        let x = net.parameter(&[a, b, c]);
        let moved = net.op(Op::Permute { axes: smallvec![2, 0, 1] }, &[x]);
        let other = net.parameter(&[c, 2, b]);
        let joined = net.op(Op::Cat { axis: 1 }, &[moved, other, moved]);
        let start = net.sample.size(0..=a);
        let part = net.op(Op::Narrow { axis: 1, start, len: a + 1 }, &[joined]);
        let flat = net.op(Op::Reshape { shape: shape(&[c, 1, (a + 1) * b]) }, &[part]);
        net.op(Op::Expand { shape: shape(&[3, c, 2, (a + 1) * b]) }, &[flat]);
        net.check(&format!("{a} {b} {c}, from {start}"), TOLERANCE);
    }
}

#[test]
fn reductions() {
    for seed in 0..CASES {
        for keep in [false, true] {
            let mut net = Network::new(seed);
            let dims = net.sample.dims(1..=4, 4);
            let axes: Vec<u32> = (0..dims.len() as u32).filter(|_| net.sample.coin()).collect();
            let x = net.parameter(&dims);
            let square = net.op(Op::Unary(Unary::Square), &[x]);
            let sum = net.op(Op::Sum { axes: axes.as_slice().into(), keep }, &[square]);
            let mean = net.op(Op::Mean { axes: axes.as_slice().into(), keep }, &[x]);
            net.op(Op::Binary(Binary::Mul), &[sum, mean]);
            net.check(&format!("{dims:?} over {:?}", axes), 3e-4);
        }
    }
}

#[test]
fn expand_is_undone() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let wide = net.sample.dims(1..=4, 3);
        let narrow = narrowed(&mut net.sample, &wide);
        let x = net.parameter(&wide);
        let square = net.op(Op::Unary(Unary::Square), &[x]);
        net.op(Op::SumTo { shape: shape(&narrow) }, &[square]);
        net.check(&format!("{wide:?} to {narrow:?}"), TOLERANCE);
    }
}

#[test]
fn softmax_and_norm() {
    for seed in 0..CASES {
        for op in [Op::Softmax, Op::RmsNorm { eps: 1e-5 }] {
            let mut net = Network::new(seed);
            let dims = net.sample.dims(1..=3, 6);
            let x = net.parameter(&dims);
            let what = format!("{op:?} of {dims:?}");
            net.op(op, &[x]);
            net.check(&what, TOLERANCE);
        }
    }
}

#[test]
fn products_transposed_and_shared() {
    for seed in 0..4 * CASES {
        let mut net = Network::new(seed);
        let (transpose_a, transpose_b) = (seed & 1 == 1, seed & 2 == 2);
        let lead = net.sample.dims(0..=2, 3);
        let shared = net.sample.coin();
        let [m, k, n] = [0; 3].map(|_| net.sample.size(1..=5));
        let a = [lead.as_slice(), &if transpose_a { [k, m] } else { [m, k] }].concat();
        let b_lead = if shared { &[] } else { lead.as_slice() };
        let b = [b_lead, &if transpose_b { [n, k] } else { [k, n] }].concat();
        let (left, right) = (net.parameter(&a), net.parameter(&b));
        net.op(Op::MatMul { transpose_a, transpose_b }, &[left, right]);
        net.check(&format!("{a:?} and {b:?}, {transpose_a} {transpose_b}"), TOLERANCE);
    }
}

#[test]
fn embedding_adds_up_repeated_indices() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let rows = net.sample.size(1..=4);
        let width = net.sample.size(1..=4);
        let table = net.parameter(&[rows, width]);
        let dims = [net.sample.size(1..=3), net.sample.size(4..=6)];
        let indices = net.indices(&dims, rows);
        net.op(Op::Embedding, &[table, indices]);
        net.check(&format!("{rows} rows, indices {dims:?}"), TOLERANCE);
    }
}

#[test]
fn rope_both_ways() {
    for seed in 0..CASES {
        let mut net = Network::new(seed);
        let dims = [net.sample.size(1..=2), net.sample.size(1..=5), net.sample.size(1..=3), 2 * net.sample.size(1..=3)];
        let x = net.parameter(&dims);
        let inverse = seed % 2 == 1;
        net.op(Op::Rope { base: 100.0, inverse }, &[x]);
        net.check(&format!("{dims:?}, inverse {inverse}"), TOLERANCE);
    }
}

#[test]
fn attention_with_windows_and_groups() {
    for seed in 0..2 * CASES {
        let mut net = Network::new(seed);
        let (batch, time) = (net.sample.size(1..=2), net.sample.size(1..=7));
        let groups = net.sample.size(1..=2);
        let heads = groups * net.sample.size(1..=3);
        let dim = net.sample.size(1..=4);
        let (window, causal) = (net.sample.size(0..=time), seed % 2 == 0);
        let q = net.parameter(&[batch, time, heads, dim]);
        let k = net.parameter(&[batch, time, groups, dim]);
        let v = net.parameter(&[batch, time, groups, dim]);
        net.op(Op::Attention(Attention { causal, window, scale: 0.6 }), &[q, k, v]);
        net.check(&format!("{batch} {time} {heads}/{groups} {dim}, window {window}"), TOLERANCE);
    }
}

#[test]
fn self_attention_reads_one_tensor_three_times() {
    let mut net = Network::new(1);
    let x = net.parameter(&[2, 5, 2, 4]);
    let turned = net.op(Op::Rope { base: 100.0, inverse: false }, &[x]);
    let y = net.op(Op::Attention(Attention { causal: true, window: 3, scale: 0.5 }), &[turned, turned, x]);
    net.op(Op::Binary(Binary::Add), &[x, y]);
    net.check("x + attention(rope(x), rope(x), x)", TOLERANCE);
}

#[test]
fn cross_entropy_with_and_without_softcap() {
    for seed in 0..CASES {
        for softcap in [0.0, 3.0] {
            let mut net = Network::new(seed);
            let rows = net.sample.dims(0..=2, 4);
            let vocab = net.sample.size(1..=9);
            let logits = net.parameter(&[rows.as_slice(), &[vocab]].concat());
            let doubled = net.op(Op::Affine { mul: 2.0, add: 0.0 }, &[logits]);
            let targets = net.indices(&rows, vocab);
            net.op(Op::CrossEntropy(Loss { softcap, z_loss: 0.0 }), &[doubled, targets]);
            net.check(&format!("{rows:?} of {vocab}, softcap {softcap}"), TOLERANCE);
        }
    }
}

#[test]
fn tensors_used_twice_take_the_sum() {
    let mut net = Network::new(3);
    let x = net.parameter(&[3, 4]);
    let square = net.op(Op::Binary(Binary::Mul), &[x, x]);
    let tanh = net.op(Op::Unary(Unary::Tanh), &[square]);
    let both = net.op(Op::Binary(Binary::Div), &[tanh, square]);
    net.op(Op::Binary(Binary::Maximum), &[both, square]);
    net.check("max(tanh(x²)/x², x²)", 1e-3);
}

/// A small language model whose embedding is also its head.
#[test]
fn a_tied_model_end_to_end() {
    let mut net = Network::new(4);
    let table = net.parameter(&[7, 4]);
    let gain = net.parameter(&[4]);
    let up = net.parameter(&[4, 6]);
    let down = net.parameter(&[6, 4]);
    let tokens = net.indices(&[2, 5], 7);
    let targets = net.indices(&[2, 5], 7);
    let product = |transpose_b| Op::MatMul { transpose_a: false, transpose_b };

    let x = net.op(Op::Embedding, &[table, tokens]);
    let normed = net.op(Op::RmsNorm { eps: 1e-5 }, &[x]);
    let scaled = net.op(Op::Binary(Binary::Mul), &[normed, gain]);
    let heads = net.op(Op::Reshape { shape: shape(&[2, 5, 2, 2]) }, &[scaled]);
    let seen = net.op(Op::Attention(Attention { causal: true, window: 0, scale: 0.7 }), &[heads, heads, heads]);
    let merged = net.op(Op::Reshape { shape: shape(&[2, 5, 4]) }, &[seen]);
    let x = net.op(Op::Binary(Binary::Add), &[x, merged]);
    let hidden = net.op(product(false), &[x, up]);
    let active = net.op(Op::Unary(Unary::ReluSquared), &[hidden]);
    let mixed = net.op(product(false), &[active, down]);
    let small = net.op(Op::Affine { mul: 0.05, add: 0.0 }, &[mixed]);
    let x = net.op(Op::Binary(Binary::Add), &[x, small]);
    let logits = net.op(product(true), &[x, table]);
    net.op(Op::CrossEntropy(Loss { softcap: 5.0, z_loss: 0.0 }), &[logits, targets]);
    net.check("tied model", 1e-3);
}

/// d(p·copy of p) is p, not 2p; what the loss never saw has gradient 0; what was made on the way has one of its own.
#[test]
fn detached_unrelated_and_intermediate_tensors() {
    let executor = CpuExecutor::new(1, RANDOM_SEED).unwrap();
    let mut s = open(Box::new(executor), Answers::Execute);
    let first = s.constant(&[3], Values::F32(vec![1.0, -2.0, 3.0])).unwrap();
    let (p, unrelated) = (s.parameter("p", first).unwrap(), s.parameter("q", first).unwrap());
    let copy = s.detach(p).unwrap();
    let product = s.submit(Op::Binary(Binary::Mul), &[p, copy]).unwrap();
    let square = s.submit(Op::Unary(Unary::Square), &[product]).unwrap();
    let loss = s.submit(Op::Sum { axes: smallvec![0], keep: false }, &[square]).unwrap();
    let gradients = s.backward(loss, &[p, unrelated, product]).unwrap();
    let values: Vec<Vec<f32>> = gradients.into_iter().map(|id| s.peek(id).unwrap()).collect();
    // The loss is Σ (p·c)² at c = p: 2p·c², 0, 2p·c.
    assert_eq!(values, [[2.0, -16.0, 54.0], [0.0; 3], [2.0, 8.0, 18.0]]);
}
