//! From an op record to the arithmetic: sizes are taken from the specs, which `infer` has checked. A part of an
//! op is the op on smaller tensors. Depends on the
//! other files of this folder.

use super::attention::{self, Geometry};
use super::elements::{Elements, ElementsMut};
use super::elementwise::{self, Operand};
use super::gemm::{self, Factor, Packed, Sizes, Tile, View};
use super::linear_loss::{self, Operands};
use super::memory::{Element, Place};
use super::path::Path;
use super::plan::{self, Node, Work};
use super::random::Key;
use super::reduce::{self, Fold};
use super::shape::{self, Run, Strided, Walk};
use super::{cast, index, loss, newton_schulz, power, rope, scan, scratch};
use crate::fault::Fault;
use crate::op::{Attention, Binary, Op};
use crate::spec::{DType, Shape, Spec, Values};
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
    /// # Safety
    /// Nobody may write the place while the tensor lives.
    pub(super) unsafe fn new(spec: Spec, place: Place) -> Self {
        Self { spec, place }
    }

    pub(super) fn slice<T: Element>(&self) -> &[T] {
        // SAFETY: who made the tensor promised that nobody writes it.
        unsafe { self.place.read() }
    }

    pub(super) fn f32(&self) -> &[f32] {
        self.slice()
    }

    pub(super) fn u32(&self) -> &[u32] {
        self.slice()
    }

    pub(super) fn elements(&self) -> Elements<'_> {
        match self.spec.dtype {
            DType::F32 => Elements::F32(self.slice()),
            DType::U32 => Elements::U32(self.slice()),
            DType::Bf16 => Elements::Bf16(self.slice()),
            DType::F16 => Elements::F16(self.slice()),
            DType::U8 => Elements::U8(self.slice()),
            DType::I64 => Elements::I64(self.slice()),
            DType::Bool => Elements::Bool(self.slice()),
        }
    }

    pub(super) fn dtype(&self) -> DType {
        self.spec.dtype
    }

    pub(super) fn dims(&self) -> &[u32] {
        self.spec.shape.dims()
    }

    /// Size of the last axis.
    pub(super) fn last(&self) -> usize {
        self.spec.shape.last() as usize
    }
}

/// A tensor, or a part of one, to write.
pub struct Out {
    spec: Spec,
    place: Place,
}

impl Out {
    /// # Safety
    /// Nobody else may read or write the place while this lives.
    pub(super) unsafe fn new(spec: Spec, place: Place) -> Self {
        Self { spec, place }
    }

    pub(super) fn slice_mut<T: Element>(&mut self) -> &mut [T] {
        // SAFETY: who made the result promised that nobody else touches it, and the borrow is exclusive.
        unsafe { self.place.write() }
    }

    pub(super) fn f32(&mut self) -> &mut [f32] {
        self.slice_mut()
    }

    pub(super) fn u32(&mut self) -> &mut [u32] {
        self.slice_mut()
    }

    pub(super) fn elements(&mut self) -> ElementsMut<'_> {
        match self.spec.dtype {
            DType::F32 => ElementsMut::F32(self.slice_mut()),
            DType::U32 => ElementsMut::U32(self.slice_mut()),
            DType::Bf16 => ElementsMut::Bf16(self.slice_mut()),
            DType::F16 => ElementsMut::F16(self.slice_mut()),
            DType::U8 => ElementsMut::U8(self.slice_mut()),
            DType::I64 => ElementsMut::I64(self.slice_mut()),
            DType::Bool => ElementsMut::Bool(self.slice_mut()),
        }
    }

    pub(super) fn dims(&self) -> &[u32] {
        self.spec.shape.dims()
    }

    pub(super) fn shape(&self) -> Shape {
        self.spec.shape.clone()
    }
}

/// Does part `i` of a node.
///
/// # Safety
/// What the part waits for must be done, the part must be done once only, and the blocks must live. Then nobody else writes
/// what it reads or touches what it writes.
pub unsafe fn part(machine: &Machine, node: &Node, i: u32) -> Result<(), Fault> {
    let read = |x: &plan::Operand| {
        let (spec, place) = x.part(node.cut, i);
        // SAFETY: the promise above.
        unsafe { Tensor::new(spec, place) }
    };
    let written = |y: &plan::Operand| {
        let (spec, place) = y.part(node.cut, i);
        // SAFETY: the promise above.
        unsafe { Out::new(spec, place) }
    };
    let inputs: SmallVec<[Tensor; 6]> = node.inputs.iter().map(read).collect();
    let mut outputs: SmallVec<[Out; 4]> = node.outputs.iter().map(written).collect();
    let whole = node.outputs.first().map_or(0, |y| y.spec.shape.elements());
    let call =
        Call { machine, index: node.index, start: node.cut.range(i, whole).start as usize, whole: whole as usize };
    match &node.work {
        Work::Op(op) | Work::AttentionGroups(op) => call.op(op, &inputs, &mut outputs),
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
        Work::LinearLoss { op, first, rows } => call.linear_loss(op, *first, *rows, &inputs, &mut outputs),
        Work::LinearLossWeight { add } => {
            let [slopes, x] = [&inputs[0], &inputs[1]];
            let dweight = &mut outputs[0];
            let first = call.start / x.last();
            linear_loss::weight(machine.path, slopes.f32(), x.f32(), x.last(), first, dweight.f32(), *add);
            Ok(())
        }
        Work::MeanLoss => {
            outputs[0].f32().fill(loss::mean(machine.path, inputs[0].f32()));
            Ok(())
        }
        Work::Values(values, from) => {
            write(values, *from, outputs[0].elements());
            Ok(())
        }
    }
}

/// A copy of the values, NaN made canonical.
pub(super) fn read(x: &Tensor) -> Values {
    match x.elements() {
        Elements::F32(x) => Values::F32(x.iter().map(|x| if x.is_nan() { f32::NAN } else { *x }).collect()),
        Elements::U32(x) => Values::U32(x.to_vec()),
        Elements::Bf16(x) => Values::Bf16(x.iter().map(|x| cast::to_bf16(cast::from_bf16(*x))).collect()),
        Elements::F16(x) => Values::F16(x.iter().map(|x| cast::to_f16(cast::from_f16(*x))).collect()),
        Elements::U8(x) => Values::U8(x.to_vec()),
        Elements::I64(x) => Values::I64(x.to_vec()),
        Elements::Bool(x) => Values::Bool(x.iter().map(|x| *x != 0).collect()),
    }
}

/// Values from an element on, of the dtype of what they fill.
pub(super) fn write(values: &Values, from: usize, to: ElementsMut<'_>) {
    fn copy<T: Copy>(from: &[T], to: &mut [T]) {
        to.copy_from_slice(&from[..to.len()]);
    }
    match (values, to) {
        (Values::F32(v), ElementsMut::F32(to)) => copy(&v[from..], to),
        (Values::U32(v), ElementsMut::U32(to)) => copy(&v[from..], to),
        (Values::Bf16(v), ElementsMut::Bf16(to)) => copy(&v[from..], to),
        (Values::F16(v), ElementsMut::F16(to)) => copy(&v[from..], to),
        (Values::U8(v), ElementsMut::U8(to)) => copy(&v[from..], to),
        (Values::I64(v), ElementsMut::I64(to)) => copy(&v[from..], to),
        (Values::Bool(v), ElementsMut::Bool(to)) => to.iter_mut().zip(&v[from..]).for_each(|(y, x)| *y = u8::from(*x)),
        // The planner has checked them.
        _ => {}
    }
}

/// One op, or a part of it, about to run.
pub(super) struct Call<'a> {
    machine: &'a Machine,
    /// Of the record.
    index: u64,
    /// Elements of the first output before this part.
    pub(super) start: usize,
    /// Elements of the whole first output.
    whole: usize,
}

impl Call<'_> {
    /// Writes every element of the outputs.
    fn op(&self, op: &Op, inputs: &[Tensor], outputs: &mut [Out]) -> Result<(), Fault> {
        if let [y] = outputs
            && self.any(op, inputs, y)?
        {
            return Ok(());
        }
        match (op, inputs, outputs) {
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
            (Op::CrossEntropy(loss), [logits, targets], [losses, lse]) => {
                self.in_range(op, targets.u32(), logits.last(), self.start)?;
                loss::cross_entropy(self.machine.path, logits.f32(), targets.u32(), *loss, losses.f32(), lse.f32());
            }
            (_, [a, b, c], [y]) => self.three(op, a, b, c, y),
            (Op::Attention(how), [q, k, v], [y, lse]) => {
                let geometry = geometry(q, k, how)?;
                let part = self.attention_part(geometry, y.dims());
                let qkv = [q.f32(), k.f32(), v.f32()];
                attention::forward(self.machine.path, geometry, part, qkv, y.f32(), lse.f32());
            }
            (Op::CrossEntropyGrad(loss), [logits, targets, lse, dy], [y]) => {
                self.in_range(op, targets.u32(), logits.last(), self.start / logits.last())?;
                let saved = loss::Saved { logits: logits.f32(), targets: targets.u32(), logsumexp: lse.f32() };
                let rows = self.whole / logits.last();
                let scale = dy.f32().first().copied().unwrap_or(0.0) / rows as f32;
                loss::cross_entropy_grad(self.machine.path, saved, scale, *loss, y.f32());
            }
            (Op::AttentionGrad(how), [q, k, v, y, lse, dy], [dq, dk, dv]) => {
                let saved = attention::Saved {
                    qkv: [q.f32(), k.f32(), v.f32()],
                    y: y.f32(),
                    logsumexp: lse.f32(),
                    dy: dy.f32(),
                };
                let geometry = geometry(q, k, how)?;
                let part = self.attention_part(geometry, dq.dims());
                attention::backward(self.machine.path, geometry, part, saved, [dq.f32(), dk.f32(), dv.f32()]);
            }
            (op, inputs, outputs) => {
                let counts = format!("{} operands and {} results", inputs.len(), outputs.len());
                return Err(Fault::Executor(format!("{op:?} got {counts}")));
            }
        }
        Ok(())
    }

    /// Which heads a part computes: results of three axes are those of some key heads, apart.
    fn attention_part(&self, g: Geometry, result: &[u32]) -> attention::Part {
        match *result {
            [pairs, time, width] => {
                let first = self.start / (time as usize * width as usize);
                attention::Part { pairs: first..first + pairs as usize, apart: true }
            }
            _ => g.all(),
        }
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
            Op::Unary(f) => elementwise::unary(path, *f, x.f32(), y.f32()),
            Op::Affine { mul, add } => elementwise::affine(path, x.f32(), y.f32(), *mul, *add),
            Op::Softcap { cap } => elementwise::softcap(path, x.f32(), y.f32(), *cap),
            Op::Sum { .. } | Op::Mean { .. } | Op::SumTo { .. } => self.fold(op, Fold::Sum, x, y),
            Op::Max { .. } => self.fold(op, Fold::Max, x, y),
            Op::Min { .. } => self.fold(op, Fold::Min, x, y),
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
                let rows = x.dims().iter().rev().nth(1).map_or(1, |d| *d as usize);
                let matrices = x.f32().chunks_exact(rows * last).zip(y.f32().chunks_exact_mut(rows * last));
                for (x, y) in matrices {
                    newton_schulz::orthogonalise(path, x, y, rows, last, coefficients);
                }
            }
            _ => {}
        }
    }

    fn fold(&self, op: &Op, how: Fold, x: &Tensor, y: &mut Out) {
        let out = y.shape();
        let lead = x.dims().len() - out.rank().min(x.dims().len());
        reduce::fold_axes(self.machine.path, how, x.f32(), x.dims(), y.f32(), |axis| match op {
            Op::Sum { axes, .. } | Op::Mean { axes, .. } | Op::Max { axes, .. } | Op::Min { axes, .. } => {
                axes.contains(&(axis as u32))
            }
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
            Op::LayerNormGrad { eps } => reduce::layer_norm_grad(path, a.f32(), b.f32(), y.f32(), last, eps),
            Op::EmbeddingGrad { rows } => {
                self.in_range(op, a.u32(), rows as usize, 0)?;
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
        let (a_rank, b_rank) = (a.dims().len(), b.dims().len());
        let mut room = [(); 2].map(|()| scratch::take());
        let [room_a, room_b] = &mut room;
        let (a, b) = (cast::to_f32(a.elements(), room_a), cast::to_f32(b.elements(), room_b));
        if b_rank == 2 && (!transpose_a || a_rank == 2) {
            // A part of a product whose first operand is transposed reads some of its columns.
            let (a, m) = match transpose_a {
                true => (View::dense(&a[self.start / n..], ac, true), y.f32().len() / n),
                false => (View::dense(a, ac, false), y.f32().len() / n),
            };
            gemm::multiply(path, Sizes { m, n, k }, a, view_b(b), &mut Tile::dense(y.f32(), n), false);
            return room.into_iter().for_each(scratch::give);
        }
        let m = if transpose_a { ac } else { ar };
        let step = if b_rank == 2 { 0 } else { k * n };
        for (i, y) in y.f32().chunks_exact_mut(m * n).enumerate() {
            let a = View::dense(&a[i * m * k..(i + 1) * m * k], ac, transpose_a);
            gemm::multiply(path, Sizes { m, n, k }, a, view_b(&b[i * step..]), &mut Tile::dense(y, n), false);
        }
        room.into_iter().for_each(scratch::give);
    }

    fn linear_loss(
        &self,
        op: &Op,
        first: usize,
        rows: usize,
        inputs: &[Tensor],
        outputs: &mut [Out],
    ) -> Result<(), Fault> {
        let (Op::LinearCrossEntropy { loss, .. }, [x, targets, across, down @ ..], [losses, lse, logits, dx @ ..]) =
            (op, inputs, outputs)
        else {
            return Err(Fault::Executor(format!("{op:?} got other operands")));
        };
        self.in_range(op, targets.u32(), logits.dims()[1] as usize, first + self.start)?;
        let weight = [Some(across), down.first()].map(|w| w.map_or(&[][..], Tensor::f32));
        let operands = Operands { x: x.f32(), width: x.last(), targets: targets.u32(), weight, rows };
        let out = linear_loss::Results {
            losses: losses.f32(),
            logsumexp: lse.f32(),
            logits: logits.f32(),
            dx: dx.first_mut().map(Out::f32),
        };
        linear_loss::rows(self.machine.path, operands, *loss, out);
        Ok(())
    }

    fn pack(&self, b: &Tensor, transposed: bool, packed: &mut Out) {
        let [rows, cols] = matrix(b.dims());
        let (k, n) = if transposed { (cols, rows) } else { (rows, cols) };
        let mut room = scratch::take();
        let b = View::dense(cast::to_f32(b.elements(), &mut room), cols, transposed);
        gemm::pack(self.machine.path, b, k, n, packed.f32());
        scratch::give(room);
    }

    fn packed_product(&self, a: &Tensor, packed: &Tensor, y: &mut Out) {
        let (k, n) = (a.spec.shape.last() as usize, y.spec.shape.last() as usize);
        let sizes = Sizes { m: y.f32().len() / n, n, k };
        let mut room = scratch::take();
        let a = View::dense(cast::to_f32(a.elements(), &mut room), k, false);
        gemm::multiply(
            self.machine.path,
            sizes,
            a,
            Factor::Packed(Packed::new(packed.f32(), k)),
            &mut Tile::dense(y.f32(), n),
            false,
        );
        scratch::give(room);
    }

    fn three(&self, op: &Op, a: &Tensor, b: &Tensor, c: &Tensor, y: &mut Out) {
        let path = self.machine.path;
        match *op {
            Op::UnaryGrad(f) => elementwise::unary_grad(path, f, a.f32(), b.f32(), c.f32(), y.f32()),
            Op::ChosenGrad(f) => elementwise::chosen_grad(path, f, a.f32(), b.f32(), c.f32(), y.f32()),
            Op::PowGrad { exponent: false } => power::base_grad(path, a.f32(), b.f32(), c.f32(), y.f32()),
            Op::PowGrad { exponent: true } => power::exponent_grad(path, a.f32(), b.f32(), c.f32(), y.f32()),
            _ => {}
        }
    }

    /// `first` is the position of the first index among all of the op's.
    pub(super) fn in_range(&self, op: &Op, indices: &[u32], limit: usize, first: usize) -> Result<(), Fault> {
        match index::out_of_range(indices, limit, first) {
            Some(reason) => Err(Fault::Execution { op: op.name(), index: self.index, reason }),
            None => Ok(()),
        }
    }
}

fn geometry(q: &Tensor, k: &Tensor, how: &Attention) -> Result<Geometry, Fault> {
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

/// Sizes of the last two axes.
fn matrix(dims: &[u32]) -> [usize; 2] {
    let size = |back: usize| dims.iter().rev().nth(back).map_or(1, |d| *d as usize);
    [size(1), size(0)]
}
