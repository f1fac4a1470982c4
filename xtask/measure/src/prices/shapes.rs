//! Random operations of every kind, with operands of random shapes.

use kernels::infer::infer;
use kernels::op::{AdamW, Attention, Binary, Compare, Loss, Op, Unary};
use kernels::spec::{DType, Shape, Spec};
use nightlab::propose::evolve::random::Random;
use smallvec::SmallVec;

/// Most elements of an operand, and of a table that is read or written by index.
const ELEMENTS: u64 = 1 << 22;
const TABLE: u64 = 1 << 24;
/// Most bytes of all operands and results.
const BYTES: u64 = 512 << 20;

/// An op and the specs of its operands.
pub type Case = (Op, Vec<Spec>);

/// A maker of random cases. `None` where the draw made no sense.
type Make = fn(&mut Draw) -> Option<Case>;

/// Kinds of ops.
pub const FAMILIES: &[(&str, Make)] = &[
    ("full, arange, copy", |d| {
        let shape = d.shape(1)?;
        Some(match d.below(3) {
            0 => (Op::Full { shape, value: 1.0 }, vec![]),
            1 => (Op::Arange { len: shape.elements() as u32 }, vec![]),
            _ => (Op::Copy, vec![Spec::f32(shape)]),
        })
    }),
    ("permute", |d| {
        let x = d.any(4)?;
        let mut axes: SmallVec<[u32; 4]> = (0..x.shape.rank() as u32).collect();
        for i in (1..axes.len()).rev() {
            axes.swap(i, d.below(i as u32 + 1) as usize);
        }
        Some((Op::Permute { axes }, vec![x]))
    }),
    ("narrow", |d| {
        let x = d.any(3)?;
        let axis = d.axis(&x);
        let size = x.shape.dims()[axis as usize];
        let len = d.size(size);
        Some((Op::Narrow { axis, start: d.below(size - len + 1), len }, vec![x]))
    }),
    ("pad", |d| {
        let x = d.any(3)?;
        Some((Op::Pad { axis: d.axis(&x), before: d.size(4), after: d.below(2) }, vec![x]))
    }),
    ("cat", |d| {
        let x = d.any(3)?;
        Some((Op::Cat { axis: d.axis(&x) }, vec![x; 1 + d.size(4) as usize]))
    }),
    ("expand", |d| {
        let shape = d.shape(4)?;
        let dims: Vec<u32> = shape.dims().iter().map(|&n| if d.chance(0.5) { 1 } else { n }).collect();
        Some((Op::Expand { shape }, vec![f(&dims)?]))
    }),
    ("unary", |d| Some((Op::Unary(d.one(&Unary::ALL)), vec![d.f32(1)?]))),
    ("unary-gradient", |d| Some((Op::UnaryGrad(d.one(&Unary::ALL)), vec![d.f32(1)?; 3]))),
    ("affine, softcap", |d| {
        let x = d.f32(1)?;
        Some(match d.below(3) {
            0 => (Op::Affine { mul: 2.0, add: 1.0 }, vec![x]),
            1 => (Op::Softcap { cap: 8.0 }, vec![x]),
            _ => (Op::SoftcapGrad { cap: 8.0 }, vec![x; 2]),
        })
    }),
    ("binary", |d| {
        let all = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Maximum, Binary::Minimum];
        Some((Op::Binary(d.one(&all)), d.broadcast(2)?))
    }),
    ("pow", |d| Some((Op::Binary(Binary::Pow), d.broadcast(2)?))),
    ("pow-gradient, chosen", |d| {
        let x = d.f32(1)?;
        let op = if d.chance(0.5) { Op::PowGrad { exponent: d.chance(0.5) } } else { Op::ChosenGrad(Binary::Maximum) };
        Some((op, vec![x; 3]))
    }),
    ("integers", |d| {
        let all = [Binary::Add, Binary::Mul, Binary::Div, Binary::Rem, Binary::And, Binary::Xor, Binary::Shr];
        let dtype = d.one(&[DType::U32, DType::I64]);
        let operands = d.broadcast(2)?.into_iter().map(|spec| Spec { dtype, ..spec }).collect();
        Some((Op::Binary(d.one(&all)), operands))
    }),
    ("compare", |d| Some((Op::Compare(d.one(&Compare::ALL)), d.broadcast(2)?))),
    ("select", |d| {
        let mut operands = d.broadcast(3)?;
        operands[0].dtype = DType::Bool;
        Some((Op::Select, operands))
    }),
    ("cast", |d| {
        let x = Spec { dtype: d.one(&DType::ALL), ..d.f32(1)? };
        Some((Op::Cast { to: d.one(&DType::ALL) }, vec![x]))
    }),
    ("sum", |d| {
        let x = d.f32(4)?;
        let (axes, keep) = (d.axes(&x), d.chance(0.5));
        Some((if d.chance(0.5) { Op::Sum { axes, keep } } else { Op::Mean { axes, keep } }, vec![x]))
    }),
    ("max, min", |d| {
        let x = d.f32(4)?;
        let (axes, keep) = (d.axes(&x), d.chance(0.5));
        Some((if d.chance(0.5) { Op::Max { axes, keep } } else { Op::Min { axes, keep } }, vec![x]))
    }),
    ("argmax", |d| {
        let x = d.f32(3)?;
        Some((Op::ArgMax { axis: d.axis(&x) }, vec![x]))
    }),
    ("expand-gradient", |d| {
        let x = d.f32(4)?;
        let dims: Vec<u32> = x.shape.dims().iter().map(|&n| if d.chance(0.5) { 1 } else { n }).collect();
        Some((Op::SumTo { shape: Shape::new(&dims).ok()? }, vec![x]))
    }),
    ("argsort", |d| Some((Op::ArgSort { descending: d.chance(0.5) }, vec![d.f32(2)?]))),
    ("cumsum", |d| {
        let x = d.f32(3)?;
        Some((Op::CumSum { axis: d.axis(&x), reverse: d.chance(0.5) }, vec![x]))
    }),
    ("softmax", |d| Some((Op::Softmax, vec![d.f32(2)?]))),
    ("softmax-gradient", |d| Some((Op::SoftmaxGrad, vec![d.f32(2)?; 2]))),
    ("logsumexp", |d| Some((Op::LogSumExp, vec![d.f32(2)?]))),
    ("rms-norm", |d| Some((Op::RmsNorm { eps: 1e-5 }, vec![d.f32(2)?]))),
    ("rms-norm-gradient", |d| Some((Op::RmsNormGrad { eps: 1e-5 }, vec![d.f32(2)?; 2]))),
    ("layer-norm", |d| Some((Op::LayerNorm { eps: 1e-5 }, vec![d.f32(2)?]))),
    ("layer-norm-gradient", |d| Some((Op::LayerNormGrad { eps: 1e-5 }, vec![d.f32(2)?; 2]))),
    ("rope", |d| {
        let [batch, time, heads, half] = d.sizes()?;
        Some((Op::Rope { base: 1e4, inverse: d.chance(0.5) }, vec![f(&[batch, time, heads, 2 * half])?]))
    }),
    ("matmul", |d| {
        let (transpose_a, transpose_b) = (d.chance(0.5), d.chance(0.5));
        let [rows, inner, columns, lead] = d.sizes()?;
        let order = |swap: bool, a: u32, b: u32| if swap { [b, a] } else { [a, b] };
        let ([a, b], [c, e]) = (order(transpose_a, rows, inner), order(transpose_b, inner, columns));
        let right = if d.chance(0.5) { f(&[lead, c, e])? } else { f(&[c, e])? };
        Some((Op::MatMul { transpose_a, transpose_b }, vec![f(&[lead, a, b])?, right]))
    }),
    ("newton-schulz", |d| {
        let [lead, rows, columns, _] = d.sizes()?;
        let coefficients = vec![[3.4445, -4.7750, 2.0315]; d.size(10) as usize];
        Some((Op::NewtonSchulz { coefficients }, vec![f(&[lead, rows, columns])?]))
    }),
    ("embedding", |d| {
        let (table, picked) = (d.table(2)?, d.size(1 << 20));
        Some((Op::Embedding, vec![table, u(&[picked])?]))
    }),
    ("embedding-gradient", |d| {
        let (dy, rows) = (d.shape(2)?, d.size(1 << 20));
        Some((Op::EmbeddingGrad { rows }, vec![u(&[dy.first()])?, f(&[dy.first(), dy.last()])?]))
    }),
    ("gather", |d| {
        let rank = 1 + d.below(3) as usize;
        let x = d.table(rank)?;
        let axis = d.axis(&x);
        Some((Op::Gather { axis }, vec![x.clone(), d.picked(&x, axis)?]))
    }),
    ("scatter-add", |d| {
        let rank = 1 + d.below(3) as usize;
        let x = d.table(rank)?;
        let axis = d.axis(&x);
        let indices = d.picked(&x, axis)?;
        let values = Spec::f32(indices.shape.clone());
        Some((Op::ScatterAdd { axis }, vec![x, indices, values]))
    }),
    ("attention", |d| {
        let (how, heads) = d.attention()?;
        Some((Op::Attention(how), heads.to_vec()))
    }),
    ("attention-gradient", |d| {
        let (how, [q, k, v]) = d.attention()?;
        let &[batch, time, heads, _] = q.shape.dims() else { return None };
        Some((Op::AttentionGrad(how), vec![q.clone(), k, v, q.clone(), f(&[batch, heads, time])?, q]))
    }),
    ("cross-entropy", |d| {
        let logits = d.f32(2)?;
        Some((Op::CrossEntropy(d.loss()), vec![logits.clone(), u(&[logits.shape.first()])?]))
    }),
    ("cross-entropy-gradient", |d| {
        let logits = d.f32(2)?;
        let rows = [logits.shape.first()];
        Some((Op::CrossEntropyGrad(d.loss()), vec![logits, u(&rows)?, f(&rows)?, f(&[])?]))
    }),
    ("linear-cross-entropy", |d| {
        let [rows, width, vocab, _] = d.sizes()?;
        let op = Op::LinearCrossEntropy { loss: d.loss(), gradients: d.chance(0.7) };
        Some((op, vec![f(&[rows, width])?, f(&[vocab, width])?, u(&[rows])?]))
    }),
    ("assign, blend", |d| {
        let x = d.f32(1)?;
        Some((if d.chance(0.5) { Op::Assign } else { Op::Blend { keep: 0.9, scale: 0.1 } }, vec![x; 2]))
    }),
    ("adamw-step", |d| {
        let how = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1, step: 10 };
        Some((Op::AdamW(how), vec![d.f32(1)?; 4]))
    }),
    ("uniform, normal", |d| {
        let shape = d.shape(1)?;
        Some(match d.below(2) {
            0 => (Op::Uniform { shape, low: 0.0, high: 1.0, stream: 0, position: 0 }, vec![]),
            _ => (Op::Normal { shape, mean: 0.0, std: 1.0, stream: 0, position: 0 }, vec![]),
        })
    }),
];

/// The case, if its shapes fit each other and its tensors are not too large.
pub fn possible((op, inputs): Case) -> Option<Case> {
    let specs: Vec<&Spec> = inputs.iter().collect();
    let made = infer(&op, &specs).ok()?;
    let bytes: u64 = inputs.iter().chain(&made).map(Spec::bytes).sum();
    (bytes <= BYTES).then_some((op, inputs))
}

/// The same op on operands of which one size is smaller everywhere: each size that occurs, halved or one.
pub fn smaller((op, inputs): &Case) -> Vec<Case> {
    let mut sizes: Vec<u32> = inputs.iter().flat_map(|spec| spec.shape.dims().iter().copied()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let with = |from: u32, to: u32| {
        let shrunk = |spec: &Spec| {
            let dims: Vec<u32> = spec.shape.dims().iter().map(|&n| if n == from { to } else { n }).collect();
            Some(Spec { shape: Shape::new(&dims).ok()?, dtype: spec.dtype })
        };
        let inputs = inputs.iter().map(shrunk).collect::<Option<Vec<Spec>>>()?;
        possible((op.clone(), inputs))
    };
    let targets = sizes.iter().rev().filter(|&&n| n > 1).flat_map(|&n| [(n, 1), (n, n / 4), (n, n / 2)]);
    targets.filter(|&(_, to)| to > 0).filter_map(|(from, to)| with(from, to)).collect()
}

fn f(dims: &[u32]) -> Option<Spec> {
    Shape::new(dims).ok().map(Spec::f32)
}

fn u(dims: &[u32]) -> Option<Spec> {
    Shape::new(dims).ok().map(Spec::u32)
}

/// Draws sizes and shapes.
pub struct Draw<'a>(pub &'a mut Random);

impl Draw<'_> {
    /// Uniform below n.
    fn below(&mut self, n: u32) -> u32 {
        (self.0.uniform() * f64::from(n)) as u32
    }

    fn chance(&mut self, p: f64) -> bool {
        self.0.chance(p)
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u32) as usize]
    }

    /// Log-uniform from 1 to n.
    fn size(&mut self, n: u32) -> u32 {
        (((f64::from(n) + 1.0).ln() * self.0.uniform()).exp() as u32).clamp(1, n)
    }

    /// Sizes whose product is log-uniform, cut at random places; some are 1.
    fn split(&mut self, rank: usize) -> Vec<u32> {
        self.split_of(ELEMENTS, rank)
    }

    fn split_of(&mut self, elements: u64, rank: usize) -> Vec<u32> {
        let whole = (elements as f64).ln() * self.0.uniform();
        let mut cuts: Vec<f64> = (1..rank).map(|_| self.0.uniform()).collect();
        cuts.push(1.0);
        cuts.sort_by(f64::total_cmp);
        let mut before = 0.0;
        let part = |cut: f64| (whole * (cut - std::mem::replace(&mut before, cut))).exp().round() as u32;
        let mut dims: Vec<u32> = cuts.into_iter().map(part).collect();
        if self.chance(0.2) {
            let at = self.below(rank as u32) as usize;
            dims[at] = self.one(&[1, 2, 3]);
        }
        dims.into_iter().map(|n| n.max(1)).collect()
    }

    fn sizes(&mut self) -> Option<[u32; 4]> {
        self.split(4).try_into().ok()
    }

    /// A shape of 1 to `rank` axes; of exactly two where that is all that is asked for.
    fn shape(&mut self, rank: usize) -> Option<Shape> {
        let rank = if rank == 2 { 2 } else { 1 + self.below(rank as u32) as usize };
        Shape::new(&self.split(rank)).ok()
    }

    /// A table of `rank` axes.
    fn table(&mut self, rank: usize) -> Option<Spec> {
        Shape::new(&self.split_of(TABLE, rank)).ok().map(Spec::f32)
    }

    fn f32(&mut self, rank: usize) -> Option<Spec> {
        self.shape(rank).map(Spec::f32)
    }

    /// Mostly f32, and now and then another dtype.
    fn any(&mut self, rank: usize) -> Option<Spec> {
        let dtype = if self.chance(0.3) { self.one(&DType::ALL) } else { DType::F32 };
        Some(Spec { dtype, shape: self.shape(rank)? })
    }

    fn axis(&mut self, x: &Spec) -> u32 {
        self.below(x.shape.rank() as u32)
    }

    /// Some axes, at least one.
    fn axes(&mut self, x: &Spec) -> SmallVec<[u32; 4]> {
        let rank = x.shape.rank() as u32;
        let first = self.below(rank);
        (0..rank).filter(|&axis| axis == first || self.chance(0.3)).collect()
    }

    /// Operands of one shape, of which some axes of some are 1.
    fn broadcast(&mut self, count: usize) -> Option<Vec<Spec>> {
        let whole = self.shape(3)?;
        let how = self.below(3);
        let one = |i: usize, d: &mut Self| {
            let shrinks = i > 0 && how > 0;
            let all = d.chance(0.3);
            let dims = whole.dims().iter().map(|&n| if shrinks && (all || d.chance(0.5)) { 1 } else { n });
            f(&dims.collect::<Vec<_>>())
        };
        (0..count).map(|i| one(i, self)).collect()
    }

    /// Indices of x's sizes but along the axis.
    fn picked(&mut self, x: &Spec, axis: u32) -> Option<Spec> {
        let mut dims = x.shape.dims().to_vec();
        dims[axis as usize] = self.size(1 << 20);
        u(&dims)
    }

    fn loss(&mut self) -> Loss {
        Loss { softcap: self.one(&[0.0, 15.0]), z_loss: 0.0 }
    }

    /// Queries, keys and values.
    fn attention(&mut self) -> Option<(Attention, [Spec; 3])> {
        let (batch, time, dim) = (self.size(32), self.size(1024), self.size(128));
        let (groups, each) = (self.size(8), self.size(4));
        let window = if self.chance(0.5) { 0 } else { self.size(time) };
        let how = Attention { causal: self.chance(0.8), window, scale: 0.2 };
        let keys = f(&[batch, time, groups, dim])?;
        Some((how, [f(&[batch, time, groups * each, dim])?, keys.clone(), keys]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Values of the host's, and an op that moves nothing.
    const WITHOUT: [&str; 3] = ["Constant", "NextBatch", "Reshape"];

    #[test]
    fn every_kind_of_op_is_drawn() {
        let mut found = BTreeSet::new();
        for (i, (name, make)) in FAMILIES.iter().enumerate() {
            let mut random = Random::new(1, i as u64);
            let cases: Vec<Case> = (0..400).filter_map(|_| make(&mut Draw(&mut random)).and_then(possible)).collect();
            assert!(cases.len() > 100, "{name}: {}", cases.len());
            found.extend(cases.iter().map(|(op, _)| Op::VARIANTS[op.code() as usize]));
        }
        let missing: Vec<_> = Op::VARIANTS.iter().filter(|name| !found.contains(**name)).collect();
        assert_eq!(missing, WITHOUT.iter().collect::<Vec<_>>());
    }
}
