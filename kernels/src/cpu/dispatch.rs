//! From an op to the kernel that does it: sizes are taken from the specs, which inference has checked. A part of an op
//! is the op on smaller tensors. Imports `any_dtype` and the kernels.

use super::attention::{self, Geometry};
use super::call::Call;
use super::elementwise::{self, Operand};
use super::gemm::{self, Factor, Sizes};
use super::matrix::{Tile, View, last_two};
use super::random::Key;
use super::reduce::{self, Fold};
use super::shape::{self, Run, Strided, Walk};
use super::views::{Input, Output};
use super::{any_dtype, cast, index, loss, newton_schulz, power, scan, scratch};
use crate::fault::Fault;
use crate::op::{Attention, Binary, Op};
use crate::spec::listed;

/// Writes every element of the outputs.
pub(super) fn op(call: &Call, op: &Op, inputs: &[Input], outputs: &mut [Output]) -> Result<(), Fault> {
    if let [y] = outputs
        && any_dtype::run(call, op, inputs, y)?
    {
        return Ok(());
    }
    match (op, inputs, outputs) {
        (_, [], [y]) => call.source(op, y)?,
        (Op::Blend { keep, scale }, [value], [x]) => {
            elementwise::blend(call.machine.path, x.f32(), value.f32(), *keep, *scale);
        }
        (Op::AdamW(step), [grad], [x, m, v]) => {
            let fix = elementwise::corrections(step);
            elementwise::adamw(call.machine.path, *step, fix, x.f32(), grad.f32(), m.f32(), v.f32());
        }
        (_, [x], [y]) => call.one(op, x, y)?,
        (_, [a, b], [y]) => call.two(op, a, b, y)?,
        (Op::CrossEntropy(loss), [logits, targets], [losses, lse]) => {
            call.in_range(op, targets.u32(), logits.last(), call.start)?;
            loss::cross_entropy(call.machine.path, logits.f32(), targets.u32(), *loss, losses.f32(), lse.f32());
        }
        (_, [a, b, c], [y]) => call.three(op, a, b, c, y)?,
        (Op::Attention(how), [q, k, v], [y, lse]) => {
            let geometry = geometry(q, k, how)?;
            let part = call.attention_part(geometry, y.dims())?;
            let qkv = [q.f32(), k.f32(), v.f32()];
            attention::forward(call.machine.path, geometry, part, qkv, y.f32(), lse.f32());
        }
        // The logsumexp is rounded, so the sums are made again.
        (Op::CrossEntropyGrad(loss), [logits, targets, _, dy], [y]) => {
            call.in_range(op, targets.u32(), logits.last(), call.start / logits.last())?;
            let rows = call.whole / logits.last();
            let scale = dy.f32()[0] / rows as f32;
            loss::cross_entropy_grad(call.machine.path, logits.f32(), targets.u32(), scale, *loss, y.f32());
        }
        (Op::AttentionGrad(how), [q, k, v, y, lse, dy], [dq, dk, dv]) => {
            let saved =
                attention::Saved { qkv: [q.f32(), k.f32(), v.f32()], y: y.f32(), logsumexp: lse.f32(), dy: dy.f32() };
            let geometry = geometry(q, k, how)?;
            let part = call.attention_part(geometry, dq.dims())?;
            attention::backward(call.machine.path, geometry, part, saved, [dq.f32(), dk.f32(), dv.f32()]);
        }
        (op, inputs, outputs) => {
            return Err(no_kernel(op, inputs.len(), outputs.len()));
        }
    }
    Ok(())
}

impl Call<'_> {
    /// The heads that a part computes: results of three axes are those of some key heads, apart.
    fn attention_part(&self, g: Geometry, result: &[u32]) -> Result<attention::Part, Fault> {
        match *result {
            [pairs, time, width] => {
                let first = self.start / (time as usize * width as usize);
                Ok(attention::Part { pairs: first..first + pairs as usize, apart: true })
            }
            [_, _, _, _] => Ok(g.all()),
            _ => Err(Fault::Executor(format!("an attention cannot make {}", listed(result)))),
        }
    }

    fn source(&self, op: &Op, y: &mut Output) -> Result<(), Fault> {
        let key = |stream| Key { seed: self.machine.seed, stream };
        match *op {
            Op::Full { value, .. } => y.f32().fill(value),
            Op::Arange { .. } => y.u32().iter_mut().zip(0..).for_each(|(y, i)| *y = i),
            Op::Uniform { low, high, stream, position, .. } => {
                key(stream).uniform(position.wrapping_add(self.start as u64), low, high, y.f32());
            }
            Op::Normal { mean, std, stream, position, .. } => {
                key(stream).normal(position.wrapping_add(self.start as u64), mean, std, y.f32());
            }
            _ => return Err(no_kernel(op, 0, 1)),
        }
        Ok(())
    }

    fn one(&self, op: &Op, x: &Input, y: &mut Output) -> Result<(), Fault> {
        let path = self.machine.path;
        let last = x.last();
        match op {
            Op::Unary(f) => elementwise::unary(path, *f, x.f32(), y.f32()),
            Op::Affine { mul, add } => elementwise::affine(path, x.f32(), y.f32(), *mul, *add),
            Op::Softcap { cap } => elementwise::softcap(path, x.f32(), y.f32(), *cap),
            Op::Sum { axes, .. } => self.fold(Fold::Sum, x, y, among(axes)),
            Op::Mean { axes, .. } => {
                self.fold(Fold::Sum, x, y, among(axes));
                let count = (x.f32().len() / y.f32().len()) as f32;
                y.f32().iter_mut().for_each(|y| *y /= count);
            }
            Op::SumTo { shape } => {
                let lead = x.dims().len() - shape.rank();
                self.fold(Fold::Sum, x, y, |axis| axis < lead || shape.dims()[axis - lead] == 1);
            }
            Op::Max { axes, .. } => self.fold(Fold::Max, x, y, among(axes)),
            Op::Min { axes, .. } => self.fold(Fold::Min, x, y, among(axes)),
            Op::CumSum { axis, reverse } => {
                let axis = *axis as usize;
                let (n, inner) = (x.dims()[axis] as usize, shape::row_major(x.dims())[axis]);
                scan::cumsum(x.f32(), n, inner, *reverse, y.f32());
            }
            Op::LogSumExp => reduce::logsumexp(path, x.f32(), y.f32(), last),
            Op::LayerNorm { eps } => reduce::layer_norm(path, x.f32(), y.f32(), last, *eps),
            Op::Softmax => reduce::softmax(path, x.f32(), y.f32(), last),
            Op::RmsNorm { eps } => reduce::rms_norm(path, x.f32(), y.f32(), last, *eps),
            Op::NewtonSchulz { coefficients } => {
                let [rows, _] = last_two(x.dims())?;
                let matrices = x.f32().chunks_exact(rows * last).zip(y.f32().chunks_exact_mut(rows * last));
                for (x, y) in matrices {
                    newton_schulz::orthogonalise(path, x, y, rows, last, coefficients);
                }
            }
            _ => return Err(no_kernel(op, 1, 1)),
        }
        Ok(())
    }

    /// Elements put together along the axes that `reduced` names.
    fn fold(&self, how: Fold, x: &Input, y: &mut Output, reduced: impl Fn(usize) -> bool) {
        reduce::fold_axes(self.machine.path, how, x.f32(), x.dims(), y.f32(), reduced);
    }

    fn two(&self, op: &Op, a: &Input, b: &Input, y: &mut Output) -> Result<(), Fault> {
        let path = self.machine.path;
        let last = a.last();
        match *op {
            Op::Binary(f) => self.binary(f, a, b, y),
            Op::SoftcapGrad { cap } => elementwise::softcap_grad(path, a.f32(), b.f32(), y.f32(), cap),
            Op::SoftmaxGrad => reduce::softmax_grad(path, a.f32(), b.f32(), y.f32(), last),
            Op::RmsNormGrad { eps } => reduce::rms_norm_grad(path, a.f32(), b.f32(), y.f32(), last, eps),
            Op::MatMul { transpose_a, transpose_b } => self.matmul(a, b, y, transpose_a, transpose_b)?,
            Op::LayerNormGrad { eps } => reduce::layer_norm_grad(path, a.f32(), b.f32(), y.f32(), last, eps),
            Op::EmbeddingGrad { rows } => {
                self.in_range(op, a.u32(), rows as usize, 0)?;
                let dim = y.last();
                index::embedding_grad(path, a.u32(), b.f32(), dim, self.start / dim, y.f32());
            }
            _ => return Err(no_kernel(op, 2, 1)),
        }
        Ok(())
    }

    fn binary(&self, f: Binary, a: &Input, b: &Input, y: &mut Output) {
        let shape = y.shape();
        let walk = Walk::new(shape.dims(), [a, b].map(|t| Strided::broadcast(t.dims(), shape.rank())));
        let [step_a, step_b] = walk.inner();
        let y = y.f32();
        walk.runs(0, y.len(), |Run { at, len, from }| {
            let (a, b) = (operand(a.f32(), step_a, from[0], len), operand(b.f32(), step_b, from[1], len));
            elementwise::binary(self.machine.path, f, a, b, &mut y[at..at + len]);
        });
    }

    fn matmul(&self, a: &Input, b: &Input, y: &mut Output, transpose_a: bool, transpose_b: bool) -> Result<(), Fault> {
        let path = self.machine.path;
        let ([ar, ac], [br, bc]) = (last_two(a.dims())?, last_two(b.dims())?);
        let (k, n) = (if transpose_a { ar } else { ac }, if transpose_b { br } else { bc });
        let view_b = |b| Factor::Plain(View::dense(b, bc, transpose_b));
        let (a_rank, b_rank) = (a.dims().len(), b.dims().len());
        let mut room = [(); 2].map(|()| scratch::take());
        let [room_a, room_b] = &mut room;
        let (a, b) = (cast::to_f32(a.elements(), room_a)?, cast::to_f32(b.elements(), room_b)?);
        if b_rank == 2 && (!transpose_a || a_rank == 2) {
            // A part of a product whose first operand is transposed reads some of its columns.
            let (a, m) = match transpose_a {
                true => (View::dense(&a[self.start / n..], ac, true), y.f32().len() / n),
                false => (View::dense(a, ac, false), y.f32().len() / n),
            };
            gemm::multiply(path, Sizes { m, n, k }, a, view_b(b), &mut Tile::dense(y.f32(), n), false);
            room.into_iter().for_each(scratch::give);
            return Ok(());
        }
        let m = if transpose_a { ac } else { ar };
        let step = if b_rank == 2 { 0 } else { k * n };
        for (i, y) in y.f32().chunks_exact_mut(m * n).enumerate() {
            let a = View::dense(&a[i * m * k..(i + 1) * m * k], ac, transpose_a);
            gemm::multiply(path, Sizes { m, n, k }, a, view_b(&b[i * step..]), &mut Tile::dense(y, n), false);
        }
        room.into_iter().for_each(scratch::give);
        Ok(())
    }

    fn three(&self, op: &Op, a: &Input, b: &Input, c: &Input, y: &mut Output) -> Result<(), Fault> {
        let path = self.machine.path;
        match *op {
            Op::UnaryGrad(f) => elementwise::unary_grad(path, f, a.f32(), b.f32(), c.f32(), y.f32()),
            Op::ChosenGrad(f) => elementwise::chosen_grad(path, f, a.f32(), b.f32(), c.f32(), y.f32()),
            Op::PowGrad { exponent: false } => power::base_grad(path, a.f32(), b.f32(), c.f32(), y.f32()),
            Op::PowGrad { exponent: true } => power::exponent_grad(path, a.f32(), b.f32(), c.f32(), y.f32()),
            _ => return Err(no_kernel(op, 3, 1)),
        }
        Ok(())
    }
}

fn among(axes: &[u32]) -> impl Fn(usize) -> bool {
    |axis| axes.contains(&(axis as u32))
}

fn geometry(q: &Input, k: &Input, how: &Attention) -> Result<Geometry, Fault> {
    let ([batch, time, heads, dim], [_, _, groups, _]) = (q.dims(), k.dims()) else {
        return Err(Fault::Executor("attention got operands without 4 axes".to_owned()));
    };
    let [batch, time, heads, dim, groups] = [batch, time, heads, dim, groups].map(|d| *d as usize);
    Ok(Geometry { batch, time, heads, groups, dim, causal: how.causal, window: how.window as usize, scale: how.scale })
}

/// `len` elements of x from `from` on, or that one element where it repeats.
fn operand(x: &[f32], step: usize, from: usize, len: usize) -> Operand<'_> {
    if step == 0 { Operand::One(x[from]) } else { Operand::Each(&x[from..from + len]) }
}

/// No kernel takes the op in this form: inference and the plan let no such op pass.
fn no_kernel(op: &Op, inputs: usize, outputs: usize) -> Fault {
    Fault::Executor(format!("no kernel does {op:?} with {inputs} operands and {outputs} results"))
}
