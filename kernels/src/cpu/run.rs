//! From an op record to the arithmetic: sizes are taken from the specs, which `infer` has checked. A part of an
//! op is the op on smaller tensors. Depends on the
//! other files of this folder.

use super::attention::{self, Geometry};
use super::elementwise::{self, Operand};
use super::gemm::{self, Factor, Packed, Sizes, Tile, View};
use super::memory::Place;
use super::path::Path;
use super::plan::{Node, Work};
use super::random::Key;
use super::shape::{self, Run, Strided, Walk};
use super::{index, loss, newton_schulz, reduce, rope};
use crate::fault::Fault;
use crate::op::{Binary, Op};
use crate::spec::{Spec, Values};
use smallvec::SmallVec;

/// What results may depend on beside op and operands; and the path, on which they do not.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Instructions to use.
    pub path: Path,
    /// Random seed of the experiment.
    pub seed: u64,
}

/// A tensor, or a part of one, to read.
pub struct Tensor {
    spec: Spec,
    place: Place,
}

impl Tensor {
    fn f32(&self) -> &[f32] {
        // SAFETY: a tensor is made by `part` only, whose node holds what it reads against writers.
        unsafe { self.place.read() }
    }

    fn u32(&self) -> &[u32] {
        // SAFETY: as in `f32`.
        unsafe { self.place.read() }
    }

    fn dims(&self) -> &[u32] {
        self.spec.shape.dims()
    }
}

/// A tensor, or a part of one, to write.
pub struct Out {
    spec: Spec,
    place: Place,
}

impl Out {
    fn f32(&mut self) -> &mut [f32] {
        // SAFETY: a result is made by `part` only: nobody else touches this part of a node's results, and the borrow is
        // exclusive.
        unsafe { self.place.write() }
    }

    fn u32(&mut self) -> &mut [u32] {
        // SAFETY: as in `f32`.
        unsafe { self.place.write() }
    }

    fn dims(&self) -> &[u32] {
        self.spec.shape.dims()
    }
}

/// Does part `i` of a node.
///
/// # Safety
/// What the part waits for must be done, the part must be done once only, and the blocks must live. Then nobody else writes
/// what it reads or touches what it writes.
pub unsafe fn part(machine: &Machine, node: &Node, i: u32) -> Result<(), Fault> {
    let inputs: SmallVec<[Tensor; 6]> =
        node.inputs.iter().map(|x| x.part(node.cut, i)).map(|(spec, place)| Tensor { spec, place }).collect();
    let mut outputs: SmallVec<[Out; 3]> =
        node.outputs.iter().map(|y| y.part(node.cut, i)).map(|(spec, place)| Out { spec, place }).collect();
    let whole = node.outputs.first().map_or(0, |y| y.spec.shape.elements());
    let call =
        Call { machine, index: node.index, start: node.cut.range(i, whole).start as usize, whole: whole as usize };
    match &node.work {
        Work::Op(op) => call.op(op, &inputs, &mut outputs),
        Work::Pack { transposed } => {
            call.pack(&inputs[0], *transposed, &mut outputs[0]);
            Ok(())
        }
        Work::PackedProduct => {
            call.packed_product(&inputs[0], &inputs[1], &mut outputs[0]);
            Ok(())
        }
        Work::RopeTable { base } => {
            let dim = outputs[0].spec.shape.last() as usize;
            rope::table(*base, dim, outputs[0].f32());
            Ok(())
        }
        Work::Rotate { inverse } => {
            let x = &inputs[0];
            let dims = [1, 2, 3].map(|axis| x.dims().get(axis).map_or(1, |d| *d as usize));
            rope::rotate(machine.path, x.f32(), inputs[1].f32(), outputs[0].f32(), dims, *inverse);
            Ok(())
        }
        Work::MeanLoss => {
            outputs[0].f32().fill(loss::mean(machine.path, inputs[0].f32()));
            Ok(())
        }
        Work::Values(values, from) => {
            match &**values {
                Values::F32(v) => copy(&v[*from..], outputs[0].f32()),
                Values::U32(v) => copy(&v[*from..], outputs[0].u32()),
            }
            Ok(())
        }
    }
}

fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    to.copy_from_slice(&from[..to.len()]);
}

/// One op, or a part of it, about to run.
struct Call<'a> {
    machine: &'a Machine,
    /// Of the record.
    index: u64,
    /// Elements of the first output before this part.
    start: usize,
    /// Elements of the whole first output.
    whole: usize,
}

impl Call<'_> {
    /// Writes every element of the outputs.
    fn op(&self, op: &Op, inputs: &[Tensor], outputs: &mut [Out]) -> Result<(), Fault> {
        match (op, inputs, outputs) {
            (Op::Cat { axis }, _, [y]) => cat(inputs, *axis as usize, y),
            (_, [], [y]) => self.source(op, y),
            (Op::Blend { keep, scale }, [value], [x]) => {
                elementwise::blend(self.machine.path, x.f32(), value.f32(), *keep, *scale);
            }
            (Op::AdamW(step), [grad], [x, m, v]) => {
                let fix = elementwise::corrections(step);
                elementwise::adamw(self.machine.path, *step, fix, x.f32(), grad.f32(), m.f32(), v.f32());
            }
            (_, [x], [y]) => self.one(op, x, y),
            (_, [a, b], [y]) => self.two(op, a, b, y)?,
            (Op::CrossEntropy { softcap }, [logits, targets], [losses, lse]) => {
                self.in_range("cross-entropy", targets.u32(), logits.spec.shape.last() as usize)?;
                loss::cross_entropy(self.machine.path, logits.f32(), targets.u32(), *softcap, losses.f32(), lse.f32());
            }
            (_, [a, b, c], [y]) => self.three(op, a, b, c, y),
            (Op::Attention { window, scale }, [q, k, v], [y, lse]) => {
                let geometry = geometry(q, k, *window, *scale)?;
                attention::forward(self.machine.path, geometry, [q.f32(), k.f32(), v.f32()], y.f32(), lse.f32());
            }
            (Op::CrossEntropyGrad { softcap }, [logits, targets, lse, dy], [y]) => {
                self.in_range("cross-entropy-gradient", targets.u32(), logits.spec.shape.last() as usize)?;
                let saved = loss::Saved { logits: logits.f32(), targets: targets.u32(), logsumexp: lse.f32() };
                let rows = self.whole / logits.spec.shape.last() as usize;
                let scale = dy.f32().first().copied().unwrap_or(0.0) / rows as f32;
                loss::cross_entropy_grad(self.machine.path, saved, scale, *softcap, y.f32());
            }
            (Op::AttentionGrad { window, scale }, [q, k, v, y, lse, dy], [dq, dk, dv]) => {
                let saved = attention::Saved {
                    qkv: [q.f32(), k.f32(), v.f32()],
                    y: y.f32(),
                    logsumexp: lse.f32(),
                    dy: dy.f32(),
                };
                let geometry = geometry(q, k, *window, *scale)?;
                attention::backward(self.machine.path, geometry, saved, [dq.f32(), dk.f32(), dv.f32()]);
            }
            (op, inputs, outputs) => {
                let counts = format!("{} operands and {} results", inputs.len(), outputs.len());
                return Err(Fault::Executor(format!("{op:?} got {counts}")));
            }
        }
        Ok(())
    }

    fn source(&self, op: &Op, y: &mut Out) {
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
            _ => {}
        }
    }

    fn one(&self, op: &Op, x: &Tensor, y: &mut Out) {
        let path = self.machine.path;
        let last = x.spec.shape.last() as usize;
        match op {
            Op::Copy => y.u32().copy_from_slice(x.u32()),
            Op::Permute { .. } | Op::Narrow { .. } | Op::Expand { .. } => {
                let dims = y.spec.shape.clone();
                shape::gather(x.u32(), strided(op, x, dims.rank()), dims.dims(), y.u32());
            }
            Op::Pad { axis, before, .. } => {
                y.f32().fill(0.0);
                place(x, *axis as usize, *before as usize, y);
            }
            Op::Unary(f) => elementwise::unary(path, *f, x.f32(), y.f32()),
            Op::Affine { mul, add } => elementwise::affine(path, x.f32(), y.f32(), *mul, *add),
            Op::Softcap { cap } => elementwise::softcap(path, x.f32(), y.f32(), *cap),
            Op::Sum { .. } | Op::Mean { .. } | Op::SumTo { .. } => self.sum(op, x, y),
            Op::Softmax => reduce::softmax(path, x.f32(), y.f32(), last),
            Op::RmsNorm { eps } => reduce::rms_norm(path, x.f32(), y.f32(), last, *eps),
            Op::NewtonSchulz { steps } => {
                let rows = x.dims().iter().rev().nth(1).map_or(1, |d| *d as usize);
                let matrices = x.f32().chunks_exact(rows * last).zip(y.f32().chunks_exact_mut(rows * last));
                for (x, y) in matrices {
                    newton_schulz::orthogonalise(path, x, y, rows, last, *steps);
                }
            }
            _ => {}
        }
    }

    fn sum(&self, op: &Op, x: &Tensor, y: &mut Out) {
        let out = y.spec.shape.clone();
        let lead = x.dims().len() - out.rank().min(x.dims().len());
        reduce::sum_axes(self.machine.path, x.f32(), x.dims(), y.f32(), |axis| match op {
            Op::Sum { axes, .. } | Op::Mean { axes, .. } => axes.contains(&(axis as u32)),
            _ => axis < lead || out.dims()[axis - lead] == 1,
        });
        if matches!(op, Op::Mean { .. }) {
            let count = (x.f32().len() / y.f32().len()) as f32;
            y.f32().iter_mut().for_each(|y| *y /= count);
        }
    }

    fn two(&self, op: &Op, a: &Tensor, b: &Tensor, y: &mut Out) -> Result<(), Fault> {
        let path = self.machine.path;
        let last = a.spec.shape.last() as usize;
        match *op {
            Op::Binary(f) => self.binary(f, a, b, y),
            Op::SoftcapGrad { cap } => elementwise::softcap_grad(path, a.f32(), b.f32(), y.f32(), cap),
            Op::SoftmaxGrad => reduce::softmax_grad(path, a.f32(), b.f32(), y.f32(), last),
            Op::RmsNormGrad { eps } => reduce::rms_norm_grad(path, a.f32(), b.f32(), y.f32(), last, eps),
            Op::MatMul { transpose_a, transpose_b } => self.matmul(a, b, y, transpose_a, transpose_b),
            Op::Embedding => {
                self.in_range("embedding", b.u32(), a.f32().len() / last)?;
                index::embedding(a.f32(), b.u32(), last, y.f32());
            }
            Op::EmbeddingGrad { rows } => {
                self.in_range("embedding-gradient", a.u32(), rows as usize)?;
                let dim = y.spec.shape.last() as usize;
                index::embedding_grad(path, a.u32(), b.f32(), dim, self.start / dim, y.f32());
            }
            _ => {}
        }
        Ok(())
    }

    fn binary(&self, f: Binary, a: &Tensor, b: &Tensor, y: &mut Out) {
        let shape = y.spec.shape.clone();
        let walk = Walk::new(shape.dims(), [a, b].map(|t| Strided::broadcast(t.dims(), shape.rank())));
        let [step_a, step_b] = walk.inner();
        let y = y.f32();
        walk.runs(0, y.len(), |Run { at, len, from }| {
            let (a, b) = (operand(a.f32(), step_a, from[0], len), operand(b.f32(), step_b, from[1], len));
            elementwise::binary(self.machine.path, f, a, b, &mut y[at..at + len]);
        });
    }

    fn matmul(&self, a: &Tensor, b: &Tensor, y: &mut Out, transpose_a: bool, transpose_b: bool) {
        let path = self.machine.path;
        let [ar, ac] = matrix(a.dims());
        let [br, bc] = matrix(b.dims());
        let (k, n) = (if transpose_a { ar } else { ac }, if transpose_b { br } else { bc });
        let view_b = |b| Factor::Plain(View::dense(b, bc, transpose_b));
        if b.dims().len() == 2 && (!transpose_a || a.dims().len() == 2) {
            // A part of a product whose first operand is transposed reads some of its columns.
            let (a, m) = match transpose_a {
                true => (View::dense(&a.f32()[self.start / n..], ac, true), y.f32().len() / n),
                false => (View::dense(a.f32(), ac, false), y.f32().len() / n),
            };
            return gemm::multiply(path, Sizes { m, n, k }, a, view_b(b.f32()), &mut Tile::dense(y.f32(), n), false);
        }
        let m = if transpose_a { ac } else { ar };
        let step = if b.dims().len() == 2 { 0 } else { k * n };
        for (i, y) in y.f32().chunks_exact_mut(m * n).enumerate() {
            let a = View::dense(&a.f32()[i * m * k..(i + 1) * m * k], ac, transpose_a);
            gemm::multiply(path, Sizes { m, n, k }, a, view_b(&b.f32()[i * step..]), &mut Tile::dense(y, n), false);
        }
    }

    fn pack(&self, b: &Tensor, transposed: bool, packed: &mut Out) {
        let [rows, cols] = matrix(b.dims());
        let (k, n) = if transposed { (cols, rows) } else { (rows, cols) };
        gemm::pack(self.machine.path, View::dense(b.f32(), cols, transposed), k, n, packed.f32());
    }

    fn packed_product(&self, a: &Tensor, packed: &Tensor, y: &mut Out) {
        let (k, n) = (a.spec.shape.last() as usize, y.spec.shape.last() as usize);
        let sizes = Sizes { m: y.f32().len() / n, n, k };
        let a = View::dense(a.f32(), k, false);
        gemm::multiply(
            self.machine.path,
            sizes,
            a,
            Factor::Packed(Packed::new(packed.f32(), k)),
            &mut Tile::dense(y.f32(), n),
            false,
        );
    }

    fn three(&self, op: &Op, a: &Tensor, b: &Tensor, c: &Tensor, y: &mut Out) {
        let path = self.machine.path;
        match *op {
            Op::UnaryGrad(f) => elementwise::unary_grad(path, f, a.f32(), b.f32(), c.f32(), y.f32()),
            Op::ChosenGrad(f) => elementwise::chosen_grad(path, f, a.f32(), b.f32(), c.f32(), y.f32()),
            _ => {}
        }
    }

    fn in_range(&self, op: &'static str, indices: &[u32], limit: usize) -> Result<(), Fault> {
        match index::out_of_range(indices, limit) {
            Some(reason) => Err(Fault::Execution { op, index: self.index, reason }),
            None => Ok(()),
        }
    }
}

fn strided(op: &Op, x: &Tensor, rank: usize) -> Strided {
    let steps = shape::row_major(x.dims());
    match op {
        Op::Permute { axes } => Strided { offset: 0, steps: axes.iter().map(|a| steps[*a as usize]).collect() },
        Op::Narrow { axis, start, .. } => Strided { offset: *start as usize * steps[*axis as usize], steps },
        _ => Strided::broadcast(x.dims(), rank),
    }
}

/// Copies x into y from `start` on along the axis.
fn place(x: &Tensor, axis: usize, start: usize, y: &mut Out) {
    let inner = shape::row_major(x.dims())[axis];
    let width = y.dims()[axis] as usize * inner;
    shape::scatter_rows(x.u32(), x.dims()[axis] as usize * inner, y.u32(), width, start * inner);
}

fn cat(inputs: &[Tensor], axis: usize, y: &mut Out) {
    let mut start = 0;
    for x in inputs {
        place(x, axis, start, y);
        start += x.dims()[axis] as usize;
    }
}

fn geometry(q: &Tensor, k: &Tensor, window: u32, scale: f32) -> Result<Geometry, Fault> {
    let ([batch, time, heads, dim], [_, _, groups, _]) = (q.dims(), k.dims()) else {
        return Err(Fault::Executor("attention got operands without 4 axes".to_owned()));
    };
    let [batch, time, heads, dim, groups] = [batch, time, heads, dim, groups].map(|d| *d as usize);
    Ok(Geometry { batch, time, heads, groups, dim, causal: true, window: window as usize, scale })
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
