//! What is timed: the operations of a training step at the sizes of a tiny, a small and a larger model, so that the
//! cost of starting an op, of operands in cache and of operands in memory all show.

use crate::fault::Fault;
use crate::op::{AdamW, Attention, Binary, Loss, Op, Unary};
use crate::spec::{Shape, Spec};
use smallvec::SmallVec;

/// An op and its operands.
pub(super) type Case = (Op, Vec<Spec>);

/// Sizes of one model.
#[derive(Clone, Copy)]
struct Scale {
    batch: u32,
    time: u32,
    width: u32,
    heads: u32,
    vocab: u32,
}

const SCALES: [Scale; 3] = [
    Scale { batch: 1, time: 32, width: 64, heads: 2, vocab: 256 },
    Scale { batch: 16, time: 128, width: 128, heads: 4, vocab: 256 },
    Scale { batch: 8, time: 256, width: 256, heads: 4, vocab: 4096 },
];

/// Every case.
pub(super) fn cases() -> Result<Vec<Case>, Fault> {
    let mut cases = Vec::new();
    for scale in SCALES {
        products(scale, &mut cases)?;
        attention(scale, &mut cases)?;
        elementwise(scale, &mut cases)?;
        losses(scale, &mut cases)?;
        moves(scale, &mut cases)?;
        optimizer(scale, &mut cases)?;
    }
    Ok(cases)
}

fn shape(dims: &[u32]) -> Result<Shape, Fault> {
    Shape::new(dims).map_err(|source| Fault::Size { op: "calibrate", source })
}

fn f(dims: &[u32]) -> Result<Spec, Fault> {
    shape(dims).map(Spec::f32)
}

fn u(dims: &[u32]) -> Result<Spec, Fault> {
    shape(dims).map(Spec::u32)
}

impl Scale {
    fn rows(self) -> u32 {
        self.batch * self.time
    }

    fn split(self) -> [u32; 4] {
        [self.batch, self.time, self.heads, self.width / self.heads]
    }

    fn hidden(self) -> [u32; 3] {
        [self.batch, self.time, self.width]
    }
}

fn products(scale: Scale, cases: &mut Vec<Case>) -> Result<(), Fault> {
    let product = |transpose_a, transpose_b| Op::MatMul { transpose_a, transpose_b };
    let (rows, width) = (scale.rows(), scale.width);
    for columns in [width, 4 * width, scale.vocab] {
        let (x, w, y) = ([rows, width], [columns, width], [rows, columns]);
        cases.push((product(false, true), vec![f(&x)?, f(&w)?]));
        cases.push((product(false, false), vec![f(&y)?, f(&w)?]));
        cases.push((product(true, false), vec![f(&y)?, f(&x)?]));
    }
    cases.push((product(false, true), vec![f(&[rows, 32])?, f(&[4, 32])?]));
    let (batches, time, dim) = (scale.batch * scale.heads, scale.time, width / scale.heads);
    cases.push((product(false, true), vec![f(&[batches, time, dim])?, f(&[batches, time, dim])?]));
    for columns in [width, 4 * width] {
        let orthogonal = Op::NewtonSchulz { coefficients: vec![[3.4445, -4.7750, 2.0315]; 5] };
        cases.push((orthogonal, vec![f(&[width, columns])?]));
    }
    Ok(())
}

fn attention(scale: Scale, cases: &mut Vec<Case>) -> Result<(), Fault> {
    let how = Attention { causal: true, window: 0, scale: 0.18 };
    let heads = f(&scale.split())?;
    cases.push((Op::Attention(how), vec![heads.clone(); 3]));
    let logsumexp = f(&[scale.batch, scale.heads, scale.time])?;
    let saved = [heads.clone(), heads.clone(), heads.clone(), heads.clone(), logsumexp, heads];
    cases.push((Op::AttentionGrad(how), saved.to_vec()));
    Ok(())
}

fn elementwise(scale: Scale, cases: &mut Vec<Case>) -> Result<(), Fault> {
    let x = f(&scale.hidden())?;
    let wide = f(&[scale.batch, scale.time, 4 * scale.width])?;
    cases.push((Op::Binary(Binary::Add), vec![x.clone(); 2]));
    cases.push((Op::Binary(Binary::Mul), vec![x.clone(), f(&[1])?]));
    cases.push((Op::Unary(Unary::ReluSquared), vec![wide.clone()]));
    cases.push((Op::UnaryGrad(Unary::ReluSquared), vec![wide.clone(); 3]));
    cases.push((Op::Unary(Unary::Tanh), vec![wide.clone()]));
    cases.push((Op::Unary(Unary::Exp), vec![wide]));
    cases.push((Op::RmsNorm { eps: 1e-6 }, vec![x.clone()]));
    cases.push((Op::RmsNormGrad { eps: 1e-6 }, vec![x; 2]));
    let heads = f(&scale.split())?;
    cases.push((Op::RmsNorm { eps: 1e-6 }, vec![heads.clone()]));
    cases.push((Op::Rope { base: 1e4, inverse: false }, vec![heads]));
    Ok(())
}

fn losses(scale: Scale, cases: &mut Vec<Case>) -> Result<(), Fault> {
    let logits = f(&[scale.batch, scale.time, scale.vocab])?;
    let rows = [scale.batch, scale.time];
    cases.push((Op::CrossEntropy(Loss::default()), vec![logits.clone(), u(&rows)?]));
    let saved = vec![logits.clone(), u(&rows)?, f(&rows)?, f(&[])?];
    cases.push((Op::CrossEntropyGrad(Loss::default()), saved));
    let loss = Loss { softcap: 15.0, z_loss: 0.0 };
    let weight = f(&[scale.vocab, scale.width])?;
    cases.push((Op::LinearCrossEntropy { loss, gradients: true }, vec![f(&scale.hidden())?, weight, u(&rows)?]));
    let scores = f(&[scale.batch * scale.heads, scale.time, scale.time])?;
    cases.push((Op::Softmax, vec![scores.clone()]));
    cases.push((Op::SoftmaxGrad, vec![scores; 2]));
    Ok(())
}

fn moves(scale: Scale, cases: &mut Vec<Case>) -> Result<(), Fault> {
    let Scale { batch, time, width, heads, .. } = scale;
    let x = f(&scale.hidden())?;
    cases.push((Op::Embedding, vec![f(&[256, width])?, u(&[batch, time])?]));
    cases.push((Op::EmbeddingGrad { rows: 256 }, vec![u(&[batch, time])?, x.clone()]));
    cases.push((Op::SumTo { shape: shape(&[1])? }, vec![x.clone()]));
    cases.push((Op::SumTo { shape: shape(&[batch, time, heads, 1])? }, vec![f(&scale.split())?]));
    cases.push((Op::Permute { axes: SmallVec::from_slice(&[0, 2, 1, 3]) }, vec![f(&scale.split())?]));
    cases.push((Op::Narrow { axis: 2, start: 0, len: 32 }, vec![x]));
    let normal = Op::Normal { shape: shape(&[4 * width, width])?, mean: 0.0, std: 1.0, stream: 0, position: 0 };
    cases.push((normal, vec![]));
    Ok(())
}

fn optimizer(scale: Scale, cases: &mut Vec<Case>) -> Result<(), Fault> {
    let how = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0, step: 10 };
    let matrix = f(&[4 * scale.width, scale.width])?;
    cases.push((Op::AdamW(how), vec![matrix.clone(); 4]));
    cases.push((Op::Blend { keep: 0.9, scale: 0.1 }, vec![matrix; 2]));
    Ok(())
}
