//! From an op record to the arithmetic: sizes are taken from the specs, which `infer` has checked. Depends on the
//! other files of this folder.

use super::attention::{self, Geometry};
use super::buffer::Buffer;
use super::elementwise::{self, Operand};
use super::gemm::{self, Sizes, View};
use super::random::Key;
use super::shape::{self, Run, Strided, Walk};
use super::threads::{PIECE, Threads};
use super::{Tensor, index, loss, newton_schulz, reduce};
use crate::fault::Fault;
use crate::op::{AdamW, Binary, Op};
use crate::spec::Spec;

/// One pure op about to run.
pub struct Call<'a> {
    pub threads: &'a Threads,
    pub seed: u64,
    pub op: &'a Op,
    pub inputs: &'a [Tensor],
    pub outputs: &'a [Spec],
    pub index: u64,
}

impl Call<'_> {
    /// Writes every element of the outputs.
    pub fn run(&self, out: &mut [Buffer]) -> Result<(), Fault> {
        match (self.inputs, out) {
            (inputs, [y]) if matches!(self.op, Op::Cat { .. }) => self.cat(inputs, y),
            ([], [y]) => self.source(y),
            ([x], [y]) => self.one(x, y),
            ([a, b], [y]) => self.two(a, b, y)?,
            ([a, b], [y, z]) => self.cross_entropy(a, b, y, z)?,
            ([a, b, c], [y]) => self.three(a, b, c, y),
            ([q, k, v], [y, z]) => {
                let qkv = [q.f32(), k.f32(), v.f32()];
                attention::forward(self.threads, self.geometry(q, k)?, qkv, y.f32_mut(), z.f32_mut());
            }
            ([logits, targets, lse, dy], [y]) => self.cross_entropy_grad([logits, targets, lse, dy], y)?,
            ([q, k, v, y, lse, dy], [dq, dk, dv]) => {
                let saved = attention::Saved {
                    qkv: [q.f32(), k.f32(), v.f32()],
                    y: y.f32(),
                    logsumexp: lse.f32(),
                    dy: dy.f32(),
                };
                let out = [dq.f32_mut(), dk.f32_mut(), dv.f32_mut()];
                attention::backward(self.threads, self.geometry(q, k)?, saved, out);
            }
            (inputs, out) => {
                let counts = format!("{} operands and {} results", inputs.len(), out.len());
                return Err(Fault::Executor(format!("{:?} got {counts}", self.op)));
            }
        }
        Ok(())
    }

    fn pieces(&self, out: &mut Buffer, work: impl Fn(std::ops::Range<usize>, &mut [f32]) + Send + Sync) {
        self.threads.pieces(out.f32_mut(), PIECE, |at, piece| work(at..at + piece.len(), piece));
    }

    /// As `pieces`, by whole rows of `n`.
    fn rows(&self, out: &mut Buffer, n: usize, work: impl Fn(std::ops::Range<usize>, &mut [f32]) + Send + Sync) {
        let size = (PIECE / n).max(1) * n;
        self.threads.pieces(out.f32_mut(), size, |at, piece| work(at..at + piece.len(), piece));
    }

    fn source(&self, y: &mut Buffer) {
        let key = |stream| Key { seed: self.seed, stream };
        match *self.op {
            Op::Full { value, .. } => y.f32_mut().fill(value),
            Op::Arange { .. } => y.u32_mut().iter_mut().zip(0..).for_each(|(y, i)| *y = i),
            Op::Uniform { low, high, stream, position, .. } => self.pieces(y, |r, y| {
                key(stream).uniform(position.wrapping_add(r.start as u64), low, high, y);
            }),
            Op::Normal { mean, std, stream, position, .. } => self.pieces(y, |r, y| {
                key(stream).normal(position.wrapping_add(r.start as u64), mean, std, y);
            }),
            _ => {}
        }
    }

    fn one(&self, x: &Tensor, y: &mut Buffer) {
        let path = self.threads.path;
        let last = x.spec.shape.last() as usize;
        match self.op {
            Op::Permute { .. } | Op::Narrow { .. } | Op::Expand { .. } => {
                shape::gather(self.threads, x.data.u32(), self.strided(x), self.outputs[0].shape.dims(), y.u32_mut());
            }
            Op::Pad { axis, before, .. } => {
                y.f32_mut().fill(0.0);
                self.place(x, *axis as usize, *before as usize, y);
            }
            Op::Unary(f) => self.pieces(y, |r, y| elementwise::unary(path, *f, &x.f32()[r], y)),
            Op::Affine { mul, add } => self.pieces(y, |r, y| elementwise::affine(path, &x.f32()[r], y, *mul, *add)),
            Op::Softcap { cap } => self.pieces(y, |r, y| elementwise::softcap(path, &x.f32()[r], y, *cap)),
            Op::Sum { .. } | Op::Mean { .. } | Op::SumTo { .. } => self.sum(x, y),
            Op::Softmax => self.rows(y, last, |r, y| reduce::softmax(path, &x.f32()[r], y, last)),
            Op::RmsNorm { eps } => self.rows(y, last, |r, y| reduce::rms_norm(path, &x.f32()[r], y, last, *eps)),
            Op::Rope { base, inverse } => {
                let dims = [1, 2, 3].map(|axis| x.dims().get(axis).map_or(1, |d| *d as usize));
                attention::rope(self.threads, x.f32(), y.f32_mut(), dims, *base, *inverse);
            }
            Op::NewtonSchulz { steps } => {
                let rows = x.dims().iter().rev().nth(1).map_or(1, |d| *d as usize);
                let matrices = x.f32().chunks_exact(rows * last).zip(y.f32_mut().chunks_exact_mut(rows * last));
                for (x, y) in matrices {
                    newton_schulz::orthogonalise(self.threads, x, y, rows, last, *steps);
                }
            }
            _ => {}
        }
    }

    fn strided(&self, x: &Tensor) -> Strided {
        let steps = shape::row_major(x.dims());
        match self.op {
            Op::Permute { axes } => Strided { offset: 0, steps: axes.iter().map(|a| steps[*a as usize]).collect() },
            Op::Narrow { axis, start, .. } => Strided { offset: *start as usize * steps[*axis as usize], steps },
            _ => Strided::broadcast(x.dims(), self.outputs[0].shape.rank()),
        }
    }

    /// Copies x into y from `start` on along the axis.
    fn place(&self, x: &Tensor, axis: usize, start: usize, y: &mut Buffer) {
        let inner = shape::row_major(x.dims())[axis];
        let width = self.outputs[0].shape.dims()[axis] as usize * inner;
        shape::scatter_rows(x.data.u32(), x.dims()[axis] as usize * inner, y.u32_mut(), width, start * inner);
    }

    fn cat(&self, inputs: &[Tensor], y: &mut Buffer) {
        let Op::Cat { axis } = *self.op else { return };
        let mut start = 0;
        for x in inputs {
            self.place(x, axis as usize, start, y);
            start += x.dims()[axis as usize] as usize;
        }
    }

    fn sum(&self, x: &Tensor, y: &mut Buffer) {
        let out = self.outputs[0].shape.dims();
        let lead = x.dims().len() - out.len().min(x.dims().len());
        let sums = reduce::sum_axes(self.threads, x.f32(), x.dims(), |axis| match self.op {
            Op::Sum { axes, .. } | Op::Mean { axes, .. } => axes.contains(&(axis as u32)),
            _ => axis < lead || out[axis - lead] == 1,
        });
        y.f32_mut().copy_from_slice(&sums);
        if matches!(self.op, Op::Mean { .. }) {
            let count = (x.f32().len() / sums.len()) as f32;
            y.f32_mut().iter_mut().for_each(|y| *y /= count);
        }
    }

    fn two(&self, a: &Tensor, b: &Tensor, y: &mut Buffer) -> Result<(), Fault> {
        let path = self.threads.path;
        let last = a.spec.shape.last() as usize;
        match *self.op {
            Op::Binary(f) => self.binary(f, a, b, y),
            Op::SoftcapGrad { cap } => {
                self.pieces(y, |r, y| elementwise::softcap_grad(path, &a.f32()[r.clone()], &b.f32()[r], y, cap));
            }
            Op::SoftmaxGrad => {
                self.rows(y, last, |r, y| reduce::softmax_grad(path, &a.f32()[r.clone()], &b.f32()[r], y, last));
            }
            Op::RmsNormGrad { eps } => {
                self.rows(y, last, |r, y| reduce::rms_norm_grad(path, &a.f32()[r.clone()], &b.f32()[r], y, last, eps));
            }
            Op::MatMul { transpose_a, transpose_b } => self.matmul(a, b, y, transpose_a, transpose_b),
            Op::Embedding => {
                self.in_range("embedding", b.data.u32(), a.f32().len() / last)?;
                index::embedding(self.threads, a.f32(), b.data.u32(), last, y.f32_mut());
            }
            Op::EmbeddingGrad { rows } => {
                self.in_range("embedding-gradient", a.data.u32(), rows as usize)?;
                let dim = y.f32().len() / rows as usize;
                index::embedding_grad(self.threads, a.data.u32(), b.f32(), dim, y.f32_mut());
            }
            _ => {}
        }
        Ok(())
    }

    fn binary(&self, f: Binary, a: &Tensor, b: &Tensor, y: &mut Buffer) {
        let dims = self.outputs[0].shape.dims();
        let operands = [a, b].map(|t| Strided::broadcast(t.dims(), dims.len()));
        let walk = Walk::new(dims, operands);
        let [step_a, step_b] = walk.inner();
        self.pieces(y, |r, y| {
            walk.runs(r.start, y.len(), |Run { at, len, from }| {
                let (a, b) = (operand(a.f32(), step_a, from[0], len), operand(b.f32(), step_b, from[1], len));
                elementwise::binary(self.threads.path, f, a, b, &mut y[at..at + len]);
            });
        });
    }

    fn matmul(&self, a: &Tensor, b: &Tensor, y: &mut Buffer, transpose_a: bool, transpose_b: bool) {
        let [ar, ac] = matrix(a.dims());
        let [br, bc] = matrix(b.dims());
        let (m, k) = if transpose_a { (ac, ar) } else { (ar, ac) };
        let n = if transpose_b { br } else { bc };
        let batch = a.f32().len() / (m * k);
        let view_b = |b| View::dense(b, bc, transpose_b);
        if b.dims().len() == 2 && (batch == 1 || !transpose_a) {
            let sizes = Sizes { m: m * batch, n, k };
            let view_a = View::dense(a.f32(), ac, transpose_a);
            return gemm::multiply_spread(self.threads, sizes, view_a, view_b(b.f32()), y.f32_mut());
        }
        let sizes = Sizes { m, n, k };
        let step = if b.dims().len() == 2 { 0 } else { k * n };
        self.threads.each(y.f32_mut().chunks_mut(m * n).enumerate(), |(i, y)| {
            let view_a = View::dense(&a.f32()[i * m * k..(i + 1) * m * k], ac, transpose_a);
            gemm::multiply(self.threads, sizes, view_a, view_b(&b.f32()[i * step..]), y, false);
        });
    }

    fn three(&self, a: &Tensor, b: &Tensor, c: &Tensor, y: &mut Buffer) {
        let path = self.threads.path;
        self.pieces(y, |r, y| {
            let (a, b, c) = (&a.f32()[r.clone()], &b.f32()[r.clone()], &c.f32()[r]);
            match *self.op {
                Op::UnaryGrad(f) => elementwise::unary_grad(path, f, a, b, c, y),
                Op::ChosenGrad(f) => elementwise::chosen_grad(path, f, a, b, c, y),
                _ => {}
            }
        });
    }

    fn geometry(&self, q: &Tensor, k: &Tensor) -> Result<Geometry, Fault> {
        let ([batch, time, heads, dim], [_, _, groups, _]) = (q.dims(), k.dims()) else {
            return Err(Fault::Executor("attention got operands without 4 axes".to_owned()));
        };
        let [batch, time, heads, dim, groups] = [batch, time, heads, dim, groups].map(|d| *d as usize);
        let (Op::Attention { window, scale } | Op::AttentionGrad { window, scale }) = *self.op else {
            return Err(Fault::Executor(format!("{:?} got the operands of attention", self.op)));
        };
        Ok(Geometry { batch, time, heads, groups, dim, window: window as usize, scale })
    }

    fn cross_entropy(&self, x: &Tensor, targets: &Tensor, y: &mut Buffer, lse: &mut Buffer) -> Result<(), Fault> {
        let Op::CrossEntropy { softcap } = *self.op else {
            return Err(Fault::Executor(format!("{:?} got the operands of cross-entropy", self.op)));
        };
        let targets = targets.data.u32();
        self.in_range("cross-entropy", targets, x.spec.shape.last() as usize)?;
        let mean = loss::cross_entropy(self.threads, x.f32(), targets, softcap, lse.f32_mut());
        y.f32_mut().fill(mean);
        Ok(())
    }

    fn cross_entropy_grad(&self, [x, targets, lse, dy]: [&Tensor; 4], y: &mut Buffer) -> Result<(), Fault> {
        let Op::CrossEntropyGrad { softcap } = *self.op else {
            return Err(Fault::Executor(format!("{:?} got the operands of cross-entropy-gradient", self.op)));
        };
        let saved = loss::Saved { logits: x.f32(), targets: targets.data.u32(), logsumexp: lse.f32() };
        self.in_range("cross-entropy-gradient", saved.targets, x.spec.shape.last() as usize)?;
        let dy = dy.f32().first().copied().unwrap_or(0.0);
        loss::cross_entropy_grad(self.threads, saved, dy, softcap, y.f32_mut());
        Ok(())
    }

    fn in_range(&self, op: &'static str, indices: &[u32], limit: usize) -> Result<(), Fault> {
        match index::out_of_range(indices, limit) {
            Some(reason) => Err(Fault::Execution { op, index: self.index, reason }),
            None => Ok(()),
        }
    }
}

/// `len` elements of x from `from` on, or that one element where it repeats.
fn operand(x: &[f32], step: usize, from: usize, len: usize) -> Operand<'_> {
    if step == 0 { Operand::One(x[from]) } else { Operand::Each(&x[from..from + len]) }
}

/// Sizes of the last two axes.
fn matrix(dims: &[u32]) -> [usize; 2] {
    let size = |back: usize| dims.iter().rev().nth(back).map_or(1, |d| *d as usize);
    [size(1), size(0)]
}

/// x ← keep·x + scale·value.
pub fn blend(threads: &Threads, x: &mut [f32], value: &[f32], keep: f32, scale: f32) {
    threads.pieces(x, PIECE, |at, x| elementwise::blend(threads.path, x, &value[at..], keep, scale));
}

/// One step of AdamW.
pub fn adamw(threads: &Threads, step: AdamW, x: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
    let fix = elementwise::corrections(&step);
    let moments = m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE));
    threads.each(x.chunks_mut(PIECE).zip(grad.chunks(PIECE)).zip(moments), |((x, grad), (m, v))| {
        elementwise::adamw(threads.path, step, fix, x, grad, m, v);
    });
}
