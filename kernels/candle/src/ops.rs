//! Ops with operands, as compositions of candle's: shapes, elementwise functions, reductions, products, indexing.
//! Operands have passed inference; a mismatch is an error, never a panic.

use crate::fused;
use crate::parts::{dims, product, row_major, softcap, softcap_derivative, transposed};
use candle_core::{D, Result, Tensor, bail};
use kernels::op::{Binary, Compare, Op, Unary};
use kernels::spec::{DType, Shape};

/// What candle cannot do, or does by other rules.
pub(super) fn lacking(op: &Op, dtypes: &[DType]) -> bool {
    let float = |dtype: &DType| dtype.is_float();
    match op {
        Op::Cast { to } => !to.is_float() || !dtypes.iter().all(float),
        Op::Binary(Binary::Pow) | Op::PowGrad { .. } | Op::Unary(Unary::Round | Unary::Sign) => true,
        Op::Binary(_) => !dtypes.iter().all(float),
        Op::Max { .. } | Op::Min { .. } | Op::ArgMax { .. } | Op::ArgSort { .. } | Op::CumSum { .. } => true,
        Op::Pad { .. } | Op::Embedding | Op::Gather { .. } => dtypes.first() != Some(&DType::F32),
        // The others are composed by `apply`, which refuses what it does not know.
        _ => false,
    }
}

/// What the op makes of its operands; for ops in place, the new values of what it writes.
pub(super) fn apply(op: &Op, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let made = match (op, inputs) {
        (Op::Attention(how), [q, k, v]) => return fused::attention(q, k, v, how),
        (Op::AttentionGrad(how), [q, k, v, y, logsumexp, dy]) => {
            return fused::attention_grad([q, k, v, y, logsumexp, dy], how);
        }
        (Op::CrossEntropy(loss), [logits, targets]) => return fused::cross_entropy(logits, targets, loss),
        (Op::LinearCrossEntropy { loss, gradients }, [x, weight, targets]) => {
            return fused::linear_cross_entropy(x, weight, targets, loss, *gradients);
        }
        (Op::AdamW(how), [x, grad, m, v]) => return fused::adamw(x, grad, m, v, how),

        (Op::Copy, [x]) => x.clone(),
        (Op::Reshape { shape }, [x]) => x.reshape(dims(shape))?,
        (Op::Permute { axes }, [x]) => row_major(&x.permute(usizes(axes))?)?,
        (Op::Narrow { axis, start, len }, [x]) => {
            row_major(&x.narrow(*axis as usize, *start as usize, *len as usize)?)?
        }
        (Op::Pad { axis, before, after }, [x]) => {
            x.pad_with_zeros(*axis as usize, *before as usize, *after as usize)?
        }
        (Op::Cat { axis }, parts) => Tensor::cat(parts, *axis as usize)?,
        (Op::Expand { shape }, [x]) => row_major(&x.broadcast_as(dims(shape))?)?,

        (Op::Cast { to }, [x]) => x.to_dtype(dtype(*to))?,
        (Op::Compare(f), [a, b]) => compare(*f, a, b)?,
        (Op::Select, [condition, a, b]) => {
            let wide = condition.shape().broadcast_shape_binary_op(a.shape(), "select")?;
            let wide = wide.broadcast_shape_binary_op(b.shape(), "select")?;
            let spread = |x: &Tensor| row_major(&x.broadcast_as(&wide)?);
            spread(condition)?.where_cond(&spread(a)?, &spread(b)?)?
        }
        (Op::Unary(f), [x]) => unary(*f, x)?,
        (Op::UnaryGrad(f), [x, y, dy]) => derivative(*f, x, y)?.mul(dy)?,
        (Op::Binary(f), [a, b]) => binary(*f, a, b)?,
        (Op::ChosenGrad(f), [a, b, dy]) => chosen(*f, a, b)?.where_cond(dy, &dy.zeros_like()?)?,
        (Op::Affine { mul, add }, [x]) => x.affine(f64::from(*mul), f64::from(*add))?,
        (Op::Softcap { cap }, [x]) => softcap(x, *cap)?,
        (Op::SoftcapGrad { cap }, [y, dy]) => softcap_derivative(y, *cap)?.mul(dy)?,

        (Op::Sum { axes, keep }, [x]) => sum(x, &usizes(axes), *keep)?,
        (Op::Mean { axes, keep }, [x]) => {
            let total = sum(x, &usizes(axes), *keep)?;
            let scale = total.elem_count() as f64 / x.elem_count() as f64;
            total.affine(scale, 0.0)?
        }
        (Op::SumTo { shape }, [x]) => sum_to(x, shape)?,
        (Op::LogSumExp, [x]) => x.log_sum_exp(D::Minus1)?,
        (Op::Softmax, [x]) => softmax(x)?,
        (Op::SoftmaxGrad, [y, dy]) => {
            let along = y.mul(dy)?.sum_keepdim(D::Minus1)?;
            y.mul(&dy.broadcast_sub(&along)?)?
        }

        (Op::MatMul { transpose_a, transpose_b }, [a, b]) => {
            let (a, b) = (a.to_dtype(candle_core::DType::F32)?, b.to_dtype(candle_core::DType::F32)?);
            matmul(&a, &b, *transpose_a, *transpose_b)?
        }
        (Op::Gather { axis }, [x, indices]) => x.gather(indices, *axis as usize)?,
        (Op::ScatterAdd { axis }, [x, indices, values]) => x.scatter_add(indices, values, *axis as usize)?,
        (Op::Embedding, [table, indices]) => {
            let mut shape = indices.dims().to_vec();
            shape.push(table.dim(1)?);
            table.index_select(&indices.flatten_all()?, 0)?.reshape(shape)?
        }
        (Op::EmbeddingGrad { rows }, [indices, dy]) => {
            let width = dy.dim(D::Minus1)?;
            let zeros = Tensor::zeros((*rows as usize, width), dy.dtype(), dy.device())?;
            zeros.index_add(&indices.flatten_all()?, &dy.reshape((indices.elem_count(), width))?, 0)?
        }

        (Op::RmsNorm { eps }, [x]) => x.broadcast_div(&root_mean_square(x, *eps)?)?,
        (Op::RmsNormGrad { eps }, [x, dy]) => rms_norm_grad(x, dy, *eps)?,
        (Op::LayerNorm { eps }, [x]) => {
            let centred = centred(x)?;
            centred.broadcast_div(&root_mean_square(&centred, *eps)?)?
        }
        // The gradient of the mean is the mean of the gradient.
        (Op::LayerNormGrad { eps }, [x, dy]) => centred(&rms_norm_grad(&centred(x)?, dy, *eps)?)?,
        (Op::Rope { base, inverse }, [x]) => fused::rope(x, *base, *inverse)?,
        (Op::CrossEntropyGrad(loss), [logits, targets, logsumexp, dy]) => {
            fused::cross_entropy_grad(logits, targets, logsumexp, dy, loss)?
        }
        (Op::NewtonSchulz { coefficients }, [x]) => fused::newton_schulz(x, coefficients)?,

        (Op::Assign, [_, value]) => value.clone(),
        (Op::Blend { keep, scale }, [x, value]) => {
            x.affine(f64::from(*keep), 0.0)?.add(&value.affine(f64::from(*scale), 0.0)?)?
        }
        _ => bail!("{} does not take {} operands", op.name(), inputs.len()),
    };
    Ok(vec![made])
}

fn usizes(axes: &[u32]) -> Vec<usize> {
    axes.iter().map(|&axis| axis as usize).collect()
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    x.affine(0.5, 0.0)?.tanh()?.affine(0.5, 0.5)
}

fn unary(f: Unary, x: &Tensor) -> Result<Tensor> {
    match f {
        Unary::Neg => x.neg(),
        Unary::Exp => x.exp(),
        Unary::Log => x.log(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => x.sqrt()?.recip(),
        Unary::Square => x.sqr(),
        Unary::Abs => x.abs(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => sigmoid(x),
        Unary::Relu => x.relu(),
        Unary::ReluSquared => x.relu()?.sqr(),
        Unary::Gelu => x.gelu(),
        Unary::Silu => x.mul(&sigmoid(x)?),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Sign | Unary::Round => bail!("{} is done elsewhere", f.name()),
    }
}

/// f′ at x, where y = f(x); at a kink, the derivative from the side where f is flat, and 0 for |x|.
fn derivative(f: Unary, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    match f {
        Unary::Neg => x.ones_like()?.neg(),
        Unary::Exp => Ok(y.clone()),
        Unary::Log => x.recip(),
        Unary::Sqrt => y.recip()?.affine(0.5, 0.0),
        Unary::Rsqrt => y.div(x)?.affine(-0.5, 0.0),
        Unary::Square => x.affine(2.0, 0.0),
        Unary::Abs => step(x)?.sub(&step(&x.neg()?)?),
        Unary::Sin => x.cos(),
        Unary::Cos => x.sin()?.neg(),
        Unary::Tanh => y.sqr()?.affine(-1.0, 1.0),
        Unary::Sigmoid => y.mul(&y.affine(-1.0, 1.0)?),
        Unary::Relu => step(x),
        Unary::ReluSquared => x.relu()?.affine(2.0, 0.0),
        Unary::Gelu => gelu_derivative(x),
        Unary::Silu => {
            let s = sigmoid(x)?;
            s.add(&y.mul(&s.affine(-1.0, 1.0)?)?)
        }
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round => x.zeros_like(),
    }
}

/// 1 where x is above 0, else 0.
fn step(x: &Tensor) -> Result<Tensor> {
    x.gt(&x.zeros_like()?)?.to_dtype(x.dtype())
}

/// With u = √(2/π)(x + 0.044715 x³) and t = tanh u: (1 + t)/2 + x(1 − t²)u′/2.
fn gelu_derivative(x: &Tensor) -> Result<Tensor> {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let square = x.sqr()?;
    let t = x.mul(&square.affine(0.044715 * root, root)?)?.tanh()?;
    let slope = square.affine(3.0 * 0.044715 * root, root)?;
    let inner = x.mul(&t.sqr()?.affine(-1.0, 1.0)?)?.mul(&slope)?;
    t.affine(0.5, 0.5)?.add(&inner.affine(0.5, 0.0)?)
}

fn binary(f: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match f {
        Binary::Add => a.broadcast_add(b),
        Binary::Sub => a.broadcast_sub(b),
        Binary::Mul => a.broadcast_mul(b),
        Binary::Div => a.broadcast_div(b),
        Binary::Maximum | Binary::Minimum => {
            let wide = a.shape().broadcast_shape_binary_op(b.shape(), f.name())?;
            let (a, b) = (row_major(&a.broadcast_as(&wide)?)?, row_major(&b.broadcast_as(&wide)?)?);
            chosen(f, &a, &b)?.where_cond(&a, &b)
        }
        _ => bail!("{} is done elsewhere", f.name()),
    }
}

fn compare(f: Compare, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match f {
        Compare::Eq => a.broadcast_eq(b),
        Compare::Ne => a.broadcast_ne(b),
        Compare::Lt => a.broadcast_lt(b),
        Compare::Le => a.broadcast_le(b),
        Compare::Gt => a.broadcast_gt(b),
        Compare::Ge => a.broadcast_ge(b),
    }
}

/// The dtype as candle has it; a bool is a u8.
fn dtype(dtype: DType) -> candle_core::DType {
    match dtype {
        DType::F32 => candle_core::DType::F32,
        DType::U32 => candle_core::DType::U32,
        DType::Bf16 => candle_core::DType::BF16,
        DType::F16 => candle_core::DType::F16,
        DType::U8 | DType::Bool => candle_core::DType::U8,
        DType::I64 => candle_core::DType::I64,
    }
}

/// Mask of where max or min takes `a`: also on a tie, and where `a` is NaN.
fn chosen(f: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ordered = match f {
        Binary::Maximum => a.ge(b)?,
        Binary::Minimum => a.le(b)?,
        _ => bail!("{} chooses neither operand", f.name()),
    };
    ordered.maximum(&a.ne(a)?)
}

fn sum(x: &Tensor, axes: &[usize], keep: bool) -> Result<Tensor> {
    match (axes, keep) {
        ([], _) => Ok(x.clone()),
        (_, true) => x.sum_keepdim(axes),
        (_, false) => x.sum(axes),
    }
}

fn sum_to(x: &Tensor, shape: &Shape) -> Result<Tensor> {
    let to = dims(shape);
    let added = x.rank().saturating_sub(to.len());
    let narrowed = x.dims().iter().skip(added).zip(&to).map(|(from, to)| from != to);
    let repeated: Vec<usize> = std::iter::repeat_n(true, added)
        .chain(narrowed)
        .enumerate()
        .filter_map(|(axis, is)| is.then_some(axis))
        .collect();
    sum(x, &repeated, true)?.reshape(to)
}

fn softmax(x: &Tensor) -> Result<Tensor> {
    let powers = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}

fn matmul(a: &Tensor, b: &Tensor, transpose_a: bool, transpose_b: bool) -> Result<Tensor> {
    let a = if transpose_a { transposed(a)? } else { a.clone() };
    let b = if transpose_b { transposed(b)? } else { b.clone() };
    product(&a, &b)
}

/// √(mean(x²) + eps) over the last axis, which keeps size 1.
fn root_mean_square(x: &Tensor, eps: f32) -> Result<Tensor> {
    x.sqr()?.mean_keepdim(D::Minus1)?.affine(1.0, f64::from(eps))?.sqrt()
}

/// x − mean(x) over the last axis.
fn centred(x: &Tensor) -> Result<Tensor> {
    x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)
}

/// With n = x/r: (dy − n·mean(n·dy))/r.
fn rms_norm_grad(x: &Tensor, dy: &Tensor, eps: f32) -> Result<Tensor> {
    let root = root_mean_square(x, eps)?;
    let n = x.broadcast_div(&root)?;
    let along = n.mul(dy)?.mean_keepdim(D::Minus1)?;
    dy.sub(&n.broadcast_mul(&along)?)?.broadcast_div(&root)
}
