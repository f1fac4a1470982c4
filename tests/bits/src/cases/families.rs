//! For each op, operands that fit it.

use super::draw::{Draw, Operand};
use super::{Draft, shape};
use kernels::op::{AdamW, Attention, Binary, Compare, Loss, Op, Unary};
use kernels::spec::DType;
use smallvec::SmallVec;

const JORDAN: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// Drafts of every op.
pub fn all(draw: &mut Draw) -> Vec<Draft> {
    sources(draw);
    moves(draw);
    elementwise(draw);
    integers(draw);
    choices(draw);
    reductions(draw);
    rows(draw);
    products(draw);
    order(draw);
    indexing(draw);
    attention(draw);
    losses(draw);
    updates(draw);
    std::mem::take(&mut draw.drafts)
}

fn sources(draw: &mut Draw) {
    let dims = draw.three();
    let shape = shape(&dims);
    let count = shape.elements();
    draw.put(Op::Full { shape: shape.clone(), value: -1.5 }, &[]);
    draw.put(Op::Full { shape: shape.clone(), value: f32::NAN }, &[]);
    draw.put(Op::Arange { len: dims[1] * dims[2] }, &[]);
    let (stream, position) = (draw.sample.below(5), u64::from(draw.sample.below(u32::MAX)) << draw.sample.below(31));
    draw.put(Op::Uniform { shape: shape.clone(), low: -3.0, high: 0.1, stream, position }, &[]);
    draw.put(Op::Normal { shape: shape.clone(), mean: 0.25, std: 3.0, stream, position }, &[]);
    draw.put_data(Op::Constant { shape: shape.clone(), dtype: DType::F32 }, DType::F32, count);
    draw.put_data(Op::Constant { shape: shape.clone(), dtype: DType::U32 }, DType::U32, count);
    draw.put_data(Op::Constant { shape, dtype: DType::I64 }, DType::I64, count);
    draw.put_data(
        Op::NextBatch { batch: dims[0], seq: dims[1], drawn: 7 },
        DType::U32,
        u64::from(2 * dims[0] * dims[1]),
    );
}

fn moves(draw: &mut Draw) {
    let dims @ [a, b, c] = draw.three();
    let x = Operand::floats(&dims);
    draw.put(Op::Copy, std::slice::from_ref(&x));
    draw.put(Op::Reshape { shape: shape(&[c, a * b]) }, std::slice::from_ref(&x));
    for axes in [[0, 2, 1], [1, 2, 0], [2, 1, 0]] {
        draw.put(Op::Permute { axes: axes.into_iter().collect() }, std::slice::from_ref(&x));
    }
    for (axis, size) in (0..).zip(dims) {
        let start = draw.sample.below(size);
        let len = 1 + draw.sample.below(size - start);
        draw.put(Op::Narrow { axis, start, len }, std::slice::from_ref(&x));
        let (before, after) = (draw.sample.below(4), draw.sample.below(4));
        draw.put(Op::Pad { axis, before, after }, std::slice::from_ref(&x));
        let mut other = dims;
        other[axis as usize] = 1 + draw.sample.below(4);
        draw.put(Op::Cat { axis }, &[x.clone(), Operand::floats(&other), x.clone()]);
    }
    draw.put(Op::Expand { shape: shape(&[a, b, c]) }, &[Operand::floats(&[b, 1])]);
    draw.put(Op::Expand { shape: shape(&[a, b, c]) }, &[Operand::floats(&[])]);
}

fn elementwise(draw: &mut Draw) {
    for f in Unary::ALL {
        let x = Operand::floats(&draw.three());
        draw.put(Op::Unary(f), std::slice::from_ref(&x));
        draw.put(Op::UnaryGrad(f), &[x.clone(), x.clone(), x]);
    }
    for f in Binary::ALL.into_iter().filter(|f| f.takes_floats()) {
        let dims @ [a, b, c] = draw.three();
        let x = Operand::floats(&dims);
        draw.put(Op::Binary(f), &[x.clone(), x.clone()]);
        draw.put(Op::Binary(f), &[x.clone(), Operand::floats(&[b, 1])]);
        draw.put(Op::Binary(f), &[Operand::floats(&[c]), x.clone()]);
        draw.put(Op::Binary(f), &[Operand::floats(&[a, 1, c]), Operand::floats(&[b, 1])]);
        draw.put(Op::Binary(f), &[Operand::floats(&[]), x]);
    }
    for f in [Binary::Maximum, Binary::Minimum] {
        let x = Operand::floats(&draw.three());
        draw.put(Op::ChosenGrad(f), &[x.clone(), x.clone(), x]);
    }
    let x = Operand::floats(&draw.three());
    draw.put(Op::Affine { mul: -2.5, add: 0.75 }, std::slice::from_ref(&x));
    draw.put(Op::Softcap { cap: 1.5 }, std::slice::from_ref(&x));
    draw.put(Op::SoftcapGrad { cap: 1.5 }, &[x.clone(), x.clone()]);
    for exponent in [false, true] {
        draw.put(Op::PowGrad { exponent }, &[x.clone(), x.clone(), x.clone()]);
    }
    for to in DType::ALL {
        draw.put(Op::Cast { to }, std::slice::from_ref(&x));
    }
}

/// What only integers and bits can do; sums and products of them are those of floats in another type.
fn integers(draw: &mut Draw) {
    for f in Binary::ALL.into_iter().filter(|f| !f.takes_floats()) {
        for dtype in [DType::U8, DType::U32, DType::I64] {
            let dims @ [_, b, _] = draw.three();
            let x = Operand::values(&dims, dtype);
            draw.put(Op::Binary(f), &[x.clone(), x.clone()]);
            draw.put(Op::Binary(f), &[x, Operand::values(&[b, 1], dtype)]);
        }
    }
    for f in [Binary::And, Binary::Or, Binary::Xor] {
        let x = Operand::values(&draw.three(), DType::Bool);
        draw.put(Op::Binary(f), &[x.clone(), x]);
    }
}

fn choices(draw: &mut Draw) {
    for f in Compare::ALL {
        let dims @ [_, b, _] = draw.three();
        let x = Operand::floats(&dims);
        draw.put(Op::Compare(f), &[x.clone(), x.clone()]);
        draw.put(Op::Compare(f), &[x, Operand::floats(&[b, 1])]);
    }
    let dims @ [a, b, c] = draw.three();
    let x = Operand::floats(&dims);
    draw.put(Op::Select, &[Operand::values(&dims, DType::Bool), x.clone(), x.clone()]);
    draw.put(Op::Select, &[Operand::values(&[b, 1], DType::Bool), x, Operand::floats(&[a, 1, c])]);
}

/// Every choice of axes of a tensor of three.
fn axes() -> impl Iterator<Item = SmallVec<[u32; 4]>> {
    (0..8u32).map(|chosen| (0..3).filter(|axis| chosen >> axis & 1 == 1).collect())
}

fn reductions(draw: &mut Draw) {
    for axes in axes() {
        let dims @ [a, b, c] = draw.three();
        let x = Operand::floats(&dims);
        let keep = draw.sample.once_in(2);
        draw.put(Op::Sum { axes: axes.clone(), keep }, std::slice::from_ref(&x));
        draw.put(Op::Mean { axes: axes.clone(), keep }, std::slice::from_ref(&x));
        draw.put(Op::Max { axes: axes.clone(), keep }, std::slice::from_ref(&x));
        draw.put(Op::Min { axes: axes.clone(), keep }, std::slice::from_ref(&x));
        let size = |axis: u32, size: u32| if axes.contains(&axis) { 1 } else { size };
        draw.put(Op::SumTo { shape: shape(&[size(0, a), size(1, b), size(2, c)]) }, &[x]);
    }
}

/// What works on the last axis.
fn rows(draw: &mut Draw) {
    let x = Operand::floats(&draw.three());
    let wide = Operand::floats(&[draw.size(&[1], &[1, 3], &[2]), draw.size(&[3], &[4095, 4097, 8200], &[70_001])]);
    for x in [x, wide] {
        draw.put(Op::Softmax, std::slice::from_ref(&x));
        draw.put(Op::SoftmaxGrad, &[x.clone(), x.clone()]);
        draw.put(Op::RmsNorm { eps: 1e-5 }, std::slice::from_ref(&x));
        draw.put(Op::RmsNormGrad { eps: 1e-5 }, &[x.clone(), x.clone()]);
        draw.put(Op::LayerNorm { eps: 1e-5 }, std::slice::from_ref(&x));
        draw.put(Op::LayerNormGrad { eps: 1e-5 }, &[x.clone(), x.clone()]);
        draw.put(Op::LogSumExp, &[x]);
    }
}

fn products(draw: &mut Draw) {
    for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let op = Op::MatMul { transpose_a, transpose_b };
        let batch = draw.size(&[2], &[1, 3], &[2]);
        for lead in [vec![], vec![batch]] {
            let [m, n, k] = draw.product();
            let a = if transpose_a { [k, m] } else { [m, k] };
            let b = if transpose_b { [n, k] } else { [k, n] };
            let (left, right) = (Operand::floats(&[&lead, &a[..]].concat()), Operand::floats(&b));
            draw.put(op.clone(), &[left.clone(), right]);
            draw.put(op.clone(), &[left, Operand::floats(&[&lead, &b[..]].concat())]);
        }
    }
    let [m, n, _] = draw.product();
    draw.put(Op::NewtonSchulz { coefficients: vec![JORDAN; 5] }, &[Operand::floats(&[m, n])]);
    draw.put(Op::NewtonSchulz { coefficients: vec![JORDAN, [1.5, -0.5, 0.0]] }, &[Operand::floats(&[2, n, m])]);
}

fn order(draw: &mut Draw) {
    let x = Operand::floats(&draw.three());
    for axis in 0..3 {
        draw.put(Op::ArgMax { axis }, std::slice::from_ref(&x));
        for reverse in [false, true] {
            draw.put(Op::CumSum { axis, reverse }, std::slice::from_ref(&x));
        }
    }
    for descending in [false, true] {
        draw.put(Op::ArgSort { descending }, std::slice::from_ref(&x));
    }
    let long = Operand::floats(&[2, draw.size(&[3], &[255, 257, 700], &[5000])]);
    draw.put(Op::CumSum { axis: 1, reverse: false }, &[long]);
}

fn indexing(draw: &mut Draw) {
    let dims = draw.three();
    for axis in 0..3 {
        let mut picked = dims;
        picked[axis as usize] = draw.size(&[1, 3], &[1, 4, 9], &[140]);
        let (x, values) = (Operand::floats(&dims), Operand::floats(&picked));
        let indices = Operand::indices(&picked, dims[axis as usize]);
        draw.put(Op::Gather { axis }, &[x.clone(), indices.clone()]);
        draw.put(Op::ScatterAdd { axis }, &[x, indices, values]);
    }
    let [a, b, c] = draw.three();
    let rows = draw.size(&[3], &[1, 2, 11], &[257]);
    draw.put(Op::Embedding, &[Operand::floats(&[rows, c]), Operand::indices(&[a, b], rows)]);
    draw.put(Op::EmbeddingGrad { rows }, &[Operand::indices(&[a, b], rows), Operand::floats(&[a, b, c])]);
}

fn attention(draw: &mut Draw) {
    for (window, causal) in [(0, true), (1, true), (5, true), (90, true), (0, false), (5, false)] {
        let batch = draw.size(&[1], &[1, 2, 3], &[2]);
        let time = draw.size(&[2, 3], &[1, 5, 63, 64, 65, 71], &[131]);
        let (groups, shared) = (draw.size(&[1], &[1, 2], &[2]), draw.size(&[1, 2], &[1, 2, 3], &[2]));
        let heads = groups * shared;
        let dim = draw.size(&[2], &[2, 6, 8, 14, 18], &[16, 34]);
        let how = Attention { causal, window, scale: 0.3 };
        let q = Operand::floats(&[batch, time, heads, dim]);
        let k = Operand::floats(&[batch, time, groups, dim]);
        let logsumexp = Operand::floats(&[batch, heads, time]);
        draw.put(Op::Attention(how), &[q.clone(), k.clone(), k.clone()]);
        let saved = [q.clone(), k.clone(), k, q.clone(), logsumexp, q.clone()];
        draw.put(Op::AttentionGrad(how), &saved);
        for inverse in [false, true] {
            draw.put(Op::Rope { base: 1000.0, inverse }, std::slice::from_ref(&q));
        }
    }
}

fn losses(draw: &mut Draw) {
    for (softcap, z_loss) in [(0.0, 0.0), (15.0, 0.0), (15.0, 1e-3)] {
        let loss = Loss { softcap, z_loss };
        let [a, b, c] = draw.three();
        let (logits, targets) = (Operand::floats(&[a, b, c]), Operand::indices(&[a, b], c));
        draw.put(Op::CrossEntropy(loss), &[logits.clone(), targets.clone()]);
        let saved = [logits, targets, Operand::floats(&[a, b]), Operand::floats(&[])];
        draw.put(Op::CrossEntropyGrad(loss), &saved);
        let [width, vocab, rows] = draw.product();
        let (x, weight) = (Operand::floats(&[rows, width]), Operand::floats(&[vocab, width]));
        let targets = Operand::indices(&[rows], vocab);
        for gradients in [false, true] {
            let op = Op::LinearCrossEntropy { loss, gradients };
            draw.put(op, &[x.clone(), weight.clone(), targets.clone()]);
        }
    }
}

/// What writes an operand.
fn updates(draw: &mut Draw) {
    let dims = draw.three();
    let (x, second) = (Operand::floats(&dims), Operand::magnitudes(&dims));
    draw.put(Op::Assign, &[x.clone(), x.clone()]);
    draw.put(Op::Blend { keep: 0.9, scale: -0.3 }, &[x.clone(), x.clone()]);
    for step in [1, 1000] {
        let step = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, step };
        draw.put(Op::AdamW(step), &[x.clone(), x.clone(), x.clone(), second.clone()]);
    }
}
