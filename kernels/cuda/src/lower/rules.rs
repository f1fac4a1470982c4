//! The plan of each op. Imports the other files of this folder.

use super::builder::{Builder, arguments, elements, of_width, rows};
use super::reduce::Fold;
use super::walk::{Strided, around, row_major, walk};
use crate::plan::{Argument, Buffer, Plan, Product};
use kernels::cpu::elementwise::corrections;
use kernels::fault::Fault;
use kernels::op::{AdamW, Op};
use kernels::spec::{DType, Shape, Spec};

const X: Buffer = Buffer::Input(0);
const Y: Buffer = Buffer::Output(0);

/// The steps of `op` on operands and results of these specs, in the order in which [`kernels::op`] names them. Values
/// of constants and batches are uploaded, so that these have no steps.
///
/// Beyond what inference lets pass, bf16 is taken for f32 by `Unary`, `UnaryGrad`, `Binary`, `RmsNorm`, `Rope`,
/// `Attention`, `CrossEntropy` and their gradients, in all operands and results that are not sums over a row or a loss.
pub fn lower(op: &Op, inputs: &[&Spec], outputs: &[Spec], random_seed: u64) -> Result<Plan, Fault> {
    let mut builder = Builder { op, inputs, outputs, seed: random_seed, plan: Plan::default() };
    builder.steps()?;
    Ok(builder.plan)
}

/// Element types with arithmetic on floats.
pub(super) const FLOATS: &[DType] = &[DType::F32, DType::Bf16];

impl Builder<'_> {
    fn steps(&mut self) -> Result<(), Fault> {
        match self.op {
            Op::Constant { .. } | Op::NextBatch { .. } => {}
            Op::Full { .. } | Op::Arange { .. } | Op::Uniform { .. } | Op::Normal { .. } => self.source()?,
            Op::Reshape { .. } | Op::Copy => self.copy(X, Y, self.input(0)?.bytes()),
            Op::Assign => self.copy(Buffer::Input(1), X, self.input(0)?.bytes()),
            Op::Permute { axes } => {
                let steps = row_major(self.input(0)?.shape.dims());
                let steps = axes.iter().map(|axis| steps.get(*axis as usize).copied()).collect::<Option<_>>();
                self.moved(Strided { start: 0, steps: steps.ok_or_else(|| self.unfit())? })?;
            }
            Op::Narrow { axis, start, .. } => {
                let steps = row_major(self.input(0)?.shape.dims());
                let step = steps.get(*axis as usize).copied().ok_or_else(|| self.unfit())?;
                self.moved(Strided { start: start * step, steps })?;
            }
            Op::Expand { shape } => self.moved(Strided::broadcast(self.input(0)?.shape.dims(), shape.rank()))?,
            Op::Pad { axis, before, .. } => self.pad(*axis, *before)?,
            Op::Cat { axis } => self.cat(*axis)?,
            Op::Cast { to } => self.cast(0, *to, Y)?,

            Op::Unary(f) => {
                let kernel = self.of_floats("unary")?;
                let count = self.count(0)?;
                self.launch(kernel, elements(count), arguments![*f as u32, X, Y, count]);
            }
            Op::UnaryGrad(f) => {
                let kernel = self.of_floats("unary_grad")?;
                self.three(kernel, *f as u32)?;
            }
            Op::ChosenGrad(f) => self.three("chosen_grad", *f as u32)?,
            Op::PowGrad { exponent } => self.three("pow_grad", u32::from(*exponent))?,
            Op::Binary(f) => {
                let among = &[DType::F32, DType::Bf16, DType::I64, DType::U32, DType::U8];
                self.broadcast("binary", *f as u32, among)?;
            }
            Op::Compare(f) => self.broadcast("compare", *f as u32, &[DType::F32, DType::I64, DType::U32, DType::U8])?,
            Op::Select => self.select()?,
            Op::Affine { mul, add } => {
                let count = self.count(0)?;
                self.launch("affine", elements(count), arguments![X, Y, count, *mul, *add]);
            }
            Op::Softcap { cap } => {
                let count = self.count(0)?;
                self.launch("softcap", elements(count), arguments![X, Y, count, *cap]);
            }
            Op::SoftcapGrad { cap } => {
                let count = self.count(0)?;
                self.launch("softcap_grad", elements(count), arguments![X, Buffer::Input(1), Y, count, *cap]);
            }

            Op::Sum { axes, .. } => self.fold_axes(Fold::Sum, 1.0, |axis| axes.contains(&(axis as u32)))?,
            Op::Max { axes, .. } => self.fold_axes(Fold::Max, 1.0, |axis| axes.contains(&(axis as u32)))?,
            Op::Min { axes, .. } => self.fold_axes(Fold::Min, 1.0, |axis| axes.contains(&(axis as u32)))?,
            Op::Mean { axes, .. } => {
                let each = self.input(0)?.shape.elements() / self.output(0)?.shape.elements();
                self.fold_axes(Fold::Sum, each as f32, |axis| axes.contains(&(axis as u32)))?;
            }
            Op::SumTo { shape } => {
                let lead = self.input(0)?.shape.rank() - shape.rank();
                self.fold_axes(Fold::Sum, 1.0, |axis| axis < lead || shape.dims()[axis - lead] == 1)?;
            }
            Op::CumSum { axis, reverse } => self.cumsum(*axis, *reverse)?,
            Op::ArgMax { axis } => self.argmax(*axis)?,
            Op::ArgSort { descending } => self.argsort(*descending)?,

            Op::Softmax => self.by_row("softmax", &[])?,
            Op::SoftmaxGrad => self.by_row_grad("softmax_grad", &[])?,
            Op::LogSumExp => self.by_row("logsumexp", &[])?,
            Op::RmsNorm { eps } => {
                let kernel = self.of_floats("rms_norm")?;
                self.by_row(kernel, &[*eps])?;
            }
            Op::RmsNormGrad { eps } => {
                let kernel = self.of_floats("rms_norm_grad")?;
                self.by_row_grad(kernel, &[*eps])?;
            }
            Op::LayerNorm { eps } => self.by_row("layer_norm", &[*eps])?,
            Op::LayerNormGrad { eps } => self.by_row_grad("layer_norm_grad", &[*eps])?,

            Op::MatMul { transpose_a, transpose_b } => self.matmul(*transpose_a, *transpose_b)?,
            Op::NewtonSchulz { coefficients } => self.newton_schulz(coefficients)?,
            Op::Embedding => self.embedding()?,
            Op::EmbeddingGrad { rows } => self.embedding_grad(*rows)?,
            Op::Gather { axis } => self.gather(*axis)?,
            Op::ScatterAdd { axis } => self.scatter_add(*axis)?,
            Op::Rope { base, inverse } => self.rope(*base, *inverse)?,
            Op::Attention(how) => self.attention(how)?,
            Op::AttentionGrad(how) => self.attention_grad(how)?,
            Op::CrossEntropy(how) => self.cross_entropy(how)?,
            Op::CrossEntropyGrad(how) => self.cross_entropy_grad(how)?,
            Op::LinearCrossEntropy { loss, gradients } => self.linear_cross_entropy(loss, *gradients)?,

            Op::Blend { keep, scale } => {
                let count = self.count(0)?;
                self.launch("blend", elements(count), arguments![X, Buffer::Input(1), count, *keep, *scale]);
            }
            Op::AdamW(how) => self.adamw(how)?,
        }
        Ok(())
    }

    fn source(&mut self) -> Result<(), Fault> {
        let count = self.output(0)?.shape.elements() as u32;
        let grid = elements(count);
        let draw = |stream: u32, position: u64| {
            let fields = [&self.seed.to_le_bytes()[..], &position.to_le_bytes(), &stream.to_le_bytes(), &[0; 4]];
            Argument::Value(fields.concat())
        };
        match *self.op {
            Op::Full { value, .. } => self.launch("full", grid, arguments![Y, count, value]),
            Op::Arange { .. } => self.launch("arange", grid, arguments![Y, count]),
            Op::Uniform { low, high, stream, position, .. } => {
                let below = if high > low { high.next_down() } else { high };
                let arguments = arguments![Y, count, draw(stream, position), low, high - low, below];
                self.launch("uniform", grid, arguments);
            }
            Op::Normal { mean, std, stream, position, .. } => {
                self.launch("normal", grid, arguments![Y, count, draw(stream, position), mean, std]);
            }
            _ => return Err(self.unfit()),
        }
        Ok(())
    }

    fn moved(&mut self, x: Strided) -> Result<(), Fault> {
        let made = self.output(0)?;
        let (count, walk) = (made.shape.elements() as u32, walk(made.shape.dims(), &[x]));
        self.launch(of_width("move", made.dtype), elements(count), arguments![X, Y, count, walk]);
        Ok(())
    }

    fn pad(&mut self, axis: u32, before: u32) -> Result<(), Fault> {
        let made = self.output(0)?;
        let kernel = of_width("pad", made.dtype);
        let count = made.shape.elements() as u32;
        let [_, wide, inner] = around(made.shape.dims(), axis as usize)?;
        let [_, len, _] = around(self.input(0)?.shape.dims(), axis as usize)?;
        let arguments = arguments![X, Y, count, len * inner, wide * inner, before * inner];
        self.launch(kernel, elements(count), arguments);
        Ok(())
    }

    fn cat(&mut self, axis: u32) -> Result<(), Fault> {
        let made = self.output(0)?;
        let kernel = of_width("place", made.dtype);
        let [_, wide, inner] = around(made.shape.dims(), axis as usize)?;
        let mut start = 0;
        for i in 0..self.inputs.len() {
            let [_, len, _] = around(self.input(i)?.shape.dims(), axis as usize)?;
            let count = self.count(i)?;
            let arguments = arguments![Buffer::Input(i), Y, count, len * inner, wide * inner, start * inner];
            self.launch(kernel.clone(), elements(count), arguments);
            start += len;
        }
        Ok(())
    }

    fn cast(&mut self, i: usize, to: DType, y: Buffer) -> Result<(), Fault> {
        let (from, count) = (self.input(i)?.dtype as u32, self.count(i)?);
        self.launch("cast", elements(count), arguments![from, to as u32, Buffer::Input(i), y, count]);
        Ok(())
    }

    /// The kernel of a family for floats of the first operand's type.
    pub(super) fn of_floats(&self, family: &str) -> Result<String, Fault> {
        self.of_dtype(family, self.input(0)?.dtype, FLOATS)
    }

    /// A function of three operands of one shape.
    fn three(&mut self, kernel: impl Into<String>, code: u32) -> Result<(), Fault> {
        let count = self.count(0)?;
        let arguments = arguments![code, X, Buffer::Input(1), Buffer::Input(2), Y, count];
        self.launch(kernel, elements(count), arguments);
        Ok(())
    }

    /// Where the operands lie under the result.
    fn operands(&self, shape: &Shape) -> Argument {
        let operands = self.inputs.iter().map(|spec| Strided::broadcast(spec.shape.dims(), shape.rank()));
        walk(shape.dims(), &operands.collect::<Vec<_>>())
    }

    fn broadcast(&mut self, family: &str, code: u32, among: &[DType]) -> Result<(), Fault> {
        let dtype = match self.input(0)?.dtype {
            DType::Bool => DType::U8,
            other => other,
        };
        let kernel = self.of_dtype(family, dtype, among)?;
        let shape = &self.output(0)?.shape;
        let (count, walk) = (shape.elements() as u32, self.operands(shape));
        self.launch(kernel, elements(count), arguments![code, X, Buffer::Input(1), Y, count, walk]);
        Ok(())
    }

    fn select(&mut self) -> Result<(), Fault> {
        let made = self.output(0)?;
        let (kernel, count, walk) =
            (of_width("select", made.dtype), made.shape.elements() as u32, self.operands(&made.shape));
        self.launch(kernel, elements(count), arguments![X, Buffer::Input(1), Buffer::Input(2), Y, count, walk]);
        Ok(())
    }

    fn by_row(&mut self, kernel: impl Into<String>, scalars: &[f32]) -> Result<(), Fault> {
        let [count, last] = self.rows(0)?;
        let mut arguments = arguments![X, Y, count, last];
        arguments.extend(scalars.iter().map(|x| Argument::from(*x)));
        self.launch(kernel, rows(count), arguments);
        Ok(())
    }

    fn by_row_grad(&mut self, kernel: impl Into<String>, scalars: &[f32]) -> Result<(), Fault> {
        let [count, last] = self.rows(0)?;
        let mut arguments = arguments![X, Buffer::Input(1), Y, count, last];
        arguments.extend(scalars.iter().map(|x| Argument::from(*x)));
        self.launch(kernel, rows(count), arguments);
        Ok(())
    }

    fn matmul(&mut self, transpose_a: bool, transpose_b: bool) -> Result<(), Fault> {
        let (&[.., ar, ac], &[ref lead_b @ .., br, bc]) = (self.input(0)?.shape.dims(), self.input(1)?.shape.dims())
        else {
            return Err(self.unfit());
        };
        let (m, k) = if transpose_a { (ac, ar) } else { (ar, ac) };
        let n = if transpose_b { br } else { bc };
        let (batch, shared_b) = (self.count(0)? / (ar * ac), lead_b.is_empty());
        let (mut a, mut b, mut dtype) = (X, Buffer::Input(1), self.input(0)?.dtype);
        if self.input(1)?.dtype != dtype {
            // Factors of two types meet in f32, which holds both.
            for (i, factor) in [&mut a, &mut b].into_iter().enumerate() {
                if self.input(i)?.dtype != DType::F32 {
                    *factor = self.scratch(self.input(i)?.shape.elements());
                    self.cast(i, DType::F32, *factor)?;
                }
            }
            dtype = DType::F32;
        }
        let (a, b, c) = (a.into(), b.into(), Y.into());
        self.product(Product { a, b, c, dtype, batch, m, n, k, transpose_a, transpose_b, shared_b, add: false });
        Ok(())
    }

    fn embedding(&mut self) -> Result<(), Fault> {
        let [limit, width] = self.rows(0)?;
        let kernel = of_width("embedding", self.input(0)?.dtype);
        let count = self.output(0)?.shape.elements() as u32;
        self.check(1, limit)?;
        self.launch(kernel, elements(count), arguments![X, Buffer::Input(1), Y, count, limit, width]);
        Ok(())
    }

    fn embedding_grad(&mut self, limit: u32) -> Result<(), Fault> {
        let (count, width) = (self.count(0)?, self.input(1)?.shape.last());
        self.check(0, limit)?;
        self.launch("embedding_grad", rows(limit), arguments![X, Buffer::Input(1), Y, count, limit, width]);
        Ok(())
    }

    fn gather(&mut self, axis: u32) -> Result<(), Fault> {
        let [_, n, inner] = around(self.input(0)?.shape.dims(), axis as usize)?;
        let [_, picked, _] = around(self.input(1)?.shape.dims(), axis as usize)?;
        let (kernel, count) = (of_width("gather", self.input(0)?.dtype), self.count(1)?);
        self.check(1, n)?;
        self.launch(kernel, elements(count), arguments![X, Buffer::Input(1), Y, count, n, picked, inner]);
        Ok(())
    }

    fn scatter_add(&mut self, axis: u32) -> Result<(), Fault> {
        let [outer, n, inner] = around(self.input(0)?.shape.dims(), axis as usize)?;
        let [_, picked, _] = around(self.input(1)?.shape.dims(), axis as usize)?;
        self.check(1, n)?;
        self.copy(X, Y, self.input(0)?.bytes());
        let arguments = arguments![Buffer::Input(2), Buffer::Input(1), Y, outer, n, picked, inner];
        self.launch("scatter_add", elements(outer * inner), arguments);
        Ok(())
    }

    fn adamw(&mut self, how: &AdamW) -> Result<(), Fault> {
        let count = self.count(0)?;
        let (fix1, fix2) = corrections(how);
        let scalars = [how.lr, how.beta1, how.beta2, how.eps, how.weight_decay, fix1, fix2];
        let scalars = Argument::Value(scalars.iter().flat_map(|x| x.to_le_bytes()).collect());
        let [grad, m, v] = [1, 2, 3].map(Buffer::Input);
        self.launch("adamw", elements(count), arguments![X, grad, m, v, count, scalars]);
        Ok(())
    }
}
