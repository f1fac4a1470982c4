//! Attention, losses, rotary embedding and Newton–Schulz: `attention.cu`, `loss.cu`, `rope.cu`, `optimizer.cu`.

use super::builder::{Builder, arguments, elements, rows};
use super::reduce::Fold;
use super::rules::FLOATS;
use crate::plan::{Argument, Buffer, Place, Plan, Product};
use kernels::cost::LOGIT_ROWS;
use kernels::fault::Fault;
use kernels::op::{Attention, Loss, Op};
use kernels::spec::{DType, Spec};

/// Queries or keys of a tile: `TILE` of `attention.cu`.
const TILE: u32 = 64;
/// Bytes of an f32.
const F32: u64 = 4;
/// Most blocks of a launch that goes over rows of logits.
const MAX_BLOCKS: u32 = 1 << 16;

/// `RmsNorm` followed by `Rope` on each head, in one launch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormRope {
    /// Of the norm.
    pub eps: f32,
    /// Of the rotation.
    pub base: f32,
}

impl NormRope {
    /// x [batch, time, heads, dim] → the same, in f32 or bf16.
    pub fn lower(self, x: &Spec) -> Result<Plan, Fault> {
        self.plan("norm_rope", &[x])
    }

    /// x, dy → dx.
    pub fn lower_grad(self, x: &Spec) -> Result<Plan, Fault> {
        self.plan("norm_rope_grad", &[x, x])
    }

    fn plan(self, family: &str, inputs: &[&Spec]) -> Result<Plan, Fault> {
        let op = Op::RmsNorm { eps: self.eps };
        let mut builder = Builder { op: &op, inputs, outputs: &[], seed: 0, plan: Plan::default() };
        let [_, time, heads, dim] = builder.heads(0)?;
        let table = builder.rope_table(self.base, time, dim);
        let kernel = builder.of_floats(family)?;
        let [count, _] = builder.rows(0)?;
        let mut arguments = arguments![Buffer::Input(0), table];
        arguments.extend((1..inputs.len()).map(|i| Argument::from(Buffer::Input(i))));
        arguments.extend(arguments![Buffer::Output(0), count, time, heads, dim, self.eps]);
        builder.launch(kernel, rows(count), arguments);
        Ok(builder.plan)
    }
}

impl Builder<'_> {
    /// Sizes of an operand of four axes.
    fn heads(&self, i: usize) -> Result<[u32; 4], Fault> {
        self.input(i)?.shape.dims().try_into().map_err(|_| self.unfit())
    }

    /// Cosines and sines for each position.
    fn rope_table(&mut self, base: f32, time: u32, dim: u32) -> Buffer {
        let table = self.scratch(u64::from(time) * u64::from(dim));
        if let (Buffer::Scratch(i), true) = (table, self.plan.steps.is_empty()) {
            self.plan.kept = Some(i);
        }
        self.launch("rope_table", elements(time * (dim / 2)), arguments![table, time, dim, base]);
        table
    }

    pub fn rope(&mut self, base: f32, inverse: bool) -> Result<(), Fault> {
        let [_, time, heads, dim] = self.heads(0)?;
        let table = self.rope_table(base, time, dim);
        let (pairs, sign) = (self.count(0)? / 2, if inverse { -1.0f32 } else { 1.0 });
        let kernel = self.of_floats("rope")?;
        let arguments = arguments![Buffer::Input(0), table, Buffer::Output(0), pairs, time, heads, dim, sign];
        self.launch(kernel, elements(pairs), arguments);
        Ok(())
    }

    /// `Heads` of `attention.cu`.
    fn geometry(&self, how: &Attention) -> Result<Argument, Fault> {
        let ([_, time, heads, dim], [_, _, groups, _]) = (self.heads(0)?, self.heads(1)?);
        let fields = [time, heads, groups, dim, u32::from(how.causal), how.window.min(time), how.scale.to_bits()];
        Ok(Argument::Value(fields.into_iter().flat_map(u32::to_le_bytes).collect()))
    }

    /// The kernel of a family, and its grid, for heads of the operand `i`. A block makes 64 or 128 columns of a head.
    fn tiles(&self, family: &str, i: usize) -> Result<(String, [u32; 3]), Fault> {
        let [batch, time, heads, dim] = self.heads(i)?;
        let columns = if dim <= 64 { 64 } else { 128 };
        let kernel = self.of_dtype(&format!("{family}_{columns}"), self.input(i)?.dtype, FLOATS)?;
        Ok((kernel, [batch * heads, time.div_ceil(TILE), dim.div_ceil(columns)]))
    }

    pub fn attention(&mut self, how: &Attention) -> Result<(), Fault> {
        let (kernel, grid) = self.tiles("attention", 0)?;
        let [q, k, v] = [0, 1, 2].map(Buffer::Input);
        let arguments = arguments![q, k, v, Buffer::Output(0), Buffer::Output(1), self.geometry(how)?];
        self.launch(kernel, grid, arguments);
        Ok(())
    }

    pub fn attention_grad(&mut self, how: &Attention) -> Result<(), Fault> {
        let [q, k, v, y, logsumexp, dy] = [0, 1, 2, 3, 4, 5].map(Buffer::Input);
        let [dq, dk, dv] = [0, 1, 2].map(Buffer::Output);
        let geometry = self.geometry(how)?;
        let [count, _] = self.rows(0)?;
        let delta = self.scratch(u64::from(count));
        let kernel = self.of_floats("attention_delta")?;
        self.launch(kernel, rows(count), arguments![y, dy, delta, count, geometry.clone()]);
        let (kernel, grid) = self.tiles("attention_dq", 0)?;
        self.launch(kernel, grid, arguments![q, k, v, dy, logsumexp, delta, dq, geometry.clone()]);
        let (kernel, grid) = self.tiles("attention_dkv", 1)?;
        self.launch(kernel, grid, arguments![q, k, v, dy, logsumexp, delta, dk, dv, geometry]);
        Ok(())
    }

    pub fn cross_entropy(&mut self, how: &Loss) -> Result<(), Fault> {
        let [count, vocab] = self.rows(0)?;
        let losses = self.scratch(u64::from(count));
        let kernel = self.of_floats("cross_entropy")?;
        self.check(1, vocab)?;
        let [logits, targets] = [0, 1].map(Buffer::Input);
        let arguments = arguments![logits, targets, losses, Buffer::Output(1), count, vocab, scalars(how)];
        self.launch(kernel, logit_rows(count), arguments);
        self.mean(losses, count);
        Ok(())
    }

    /// The first result becomes the mean of the losses.
    fn mean(&mut self, losses: Buffer, count: u32) {
        self.fold(Fold::Sum, (losses.into(), &[count]), Buffer::Output(0).into(), count as f32, |_| true);
    }

    pub fn cross_entropy_grad(&mut self, how: &Loss) -> Result<(), Fault> {
        let [count, vocab] = self.rows(0)?;
        let kernel = self.of_floats("cross_entropy_grad")?;
        self.check(1, vocab)?;
        let [logits, targets, _, dy] = [0, 1, 2, 3].map(Buffer::Input);
        let arguments = arguments![logits, targets, dy, Buffer::Output(0), count, vocab, count as f32, scalars(how)];
        self.launch(kernel, logit_rows(count), arguments);
        Ok(())
    }

    /// Chunks of rows one after another: their logits are made, become gradients in place, and go into dx and dweight.
    pub fn linear_cross_entropy(&mut self, how: &Loss, gradients: bool) -> Result<(), Fault> {
        let ([count, width], [vocab, _]) = (self.rows(0)?, self.rows(1)?);
        if [0, 1].map(|i| self.input(i).map(|spec| spec.dtype)) != [Ok(DType::F32), Ok(DType::F32)] {
            return Err(self.unfit());
        }
        let [x, weight, targets] = [0, 1, 2].map(|i| Place::from(Buffer::Input(i)));
        let [logsumexp, dx, dweight] = [1, 2, 3].map(|i| Place::from(Buffer::Output(i)));
        self.check(2, vocab)?;
        let chunk = count.min(LOGIT_ROWS as u32);
        let losses = self.scratch(u64::from(count));
        let logits = Place::from(self.scratch(u64::from(chunk) * u64::from(vocab)));
        let one = self.scratch(1);
        self.launch("full", elements(1), arguments![one, 1u32, 1.0f32]);
        for first in (0..count).step_by(chunk as usize) {
            let rows = chunk.min(count - first);
            let of_row = |place: Place, width: u32| place.after(F32 * u64::from(first) * u64::from(width));
            let [x, dx] = [x, dx].map(|place| of_row(place, width));
            let [targets, losses, logsumexp] = [targets, losses.into(), logsumexp].map(|place| of_row(place, 1));
            let plain = Product {
                a: x,
                b: weight,
                c: logits,
                dtype: DType::F32,
                batch: 1,
                m: rows,
                n: vocab,
                k: width,
                transpose_a: false,
                transpose_b: true,
                shared_b: true,
                add: false,
            };
            self.product(plain);
            let arguments = arguments![logits, targets, losses, logsumexp, rows, vocab, scalars(how)];
            self.launch("cross_entropy_f32", logit_rows(rows), arguments);
            if gradients {
                let arguments = arguments![logits, targets, one, logits, rows, vocab, count as f32, scalars(how)];
                self.launch("cross_entropy_grad_f32", logit_rows(rows), arguments);
                let back = Product { transpose_b: false, a: logits, n: width, k: vocab, ..plain };
                self.product(Product { c: dx, ..back });
                let back = Product { transpose_a: true, b: x, m: vocab, k: rows, add: first > 0, ..back };
                self.product(Product { c: dweight, ..back });
            }
        }
        self.mean(losses, count);
        Ok(())
    }

    /// x/(|x| + 1e−7), then for each (a, b, c) x ← a·x + (b·G + c·G²)·x with G = x·xᵀ, or the same on the other side of
    /// a matrix that has more rows than columns.
    pub fn newton_schulz(&mut self, coefficients: &[[f32; 3]]) -> Result<(), Fault> {
        let spec = self.input(0)?;
        let &[.., down, across] = spec.shape.dims() else { return Err(self.unfit()) };
        let (bytes, count, size) = (spec.bytes(), self.count(0)?, down * across);
        let (flip, side, batch) = (down > across, down.min(across), count / size);
        let squares = self.scratch(u64::from(batch));
        let [mut now, mut next] = [(); 2].map(|()| Place::from(self.scratch(u64::from(count))));
        let gram_size = batch * side * side;
        let [gram, square] = [(); 2].map(|()| Place::from(self.scratch(u64::from(gram_size))));
        let x = Buffer::Input(0);
        self.fold(Fold::Squares, (x.into(), &[batch, size]), squares.into(), 1.0, |axis| axis == 1);
        self.launch("over_norm", elements(count), arguments![x, squares, now, count, size]);
        for &[a, b, c] in coefficients {
            let of = |a: Place, b: Place, c: Place, m: u32, n: u32, k: u32| Product {
                a,
                b,
                c,
                dtype: DType::F32,
                batch,
                m,
                n,
                k,
                transpose_a: false,
                transpose_b: false,
                shared_b: false,
                add: false,
            };
            let outer = of(now, now, gram, side, side, down.max(across));
            self.product(Product { transpose_a: flip, transpose_b: !flip, ..outer });
            self.product(of(gram, gram, square, side, side, side));
            self.launch("blend", elements(gram_size), arguments![square, gram, gram_size, c, b]);
            let (left, right) = if flip { (now, square) } else { (square, now) };
            self.product(of(left, right, next, down, across, side));
            self.launch("blend", elements(count), arguments![next, now, count, 1.0f32, a]);
            std::mem::swap(&mut now, &mut next);
        }
        self.copy(now, Buffer::Output(0), bytes);
        Ok(())
    }
}

/// `Loss` of `loss.cu`.
fn scalars(how: &Loss) -> Argument {
    Argument::Value([how.softcap, how.z_loss].iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// A block for each row of logits; blocks take further rows where there are more.
fn logit_rows(count: u32) -> [u32; 3] {
    [count.min(MAX_BLOCKS), 1, 1]
}
