//! Every op in plain f64 loops, straight from its definition in `op/table.rs`, to compare executors with. Gradient
//! ops are not written out: they are central differences of the op that they belong to, so that a wrong formula can't
//! stand on both sides. Depends on the records alone; malformed calls panic, since only tests call it.

#![allow(dead_code, reason = "each test binary uses its part")]

mod fused;
mod order;
pub mod sample;
pub mod session;

use kernels::op::{Binary, Compare, Op, Unary};

/// Values of a tensor, row-major; integers are held as f64 too.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, outermost first.
    pub dims: Vec<usize>,
    /// Elements.
    pub data: Vec<f64>,
}

impl Array {
    /// The array whose element at each index is `f(index)`.
    pub fn from_fn(dims: &[usize], mut f: impl FnMut(&[usize]) -> f64) -> Self {
        let count = dims.iter().product();
        let mut index = vec![0; dims.len()];
        let mut data = Vec::with_capacity(count);
        for _ in 0..count {
            data.push(f(&index));
            for axis in (0..dims.len()).rev() {
                index[axis] += 1;
                if index[axis] < dims[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Self { dims: dims.to_vec(), data }
    }

    /// The element that `index` meets: aligned from the last axis, axes of size 1 repeat.
    pub fn at(&self, index: &[usize]) -> f64 {
        self.data[self.offset(index)]
    }

    fn offset(&self, index: &[usize]) -> usize {
        let aligned = &index[index.len() - self.dims.len()..];
        self.dims.iter().zip(aligned).fold(0, |at, (&size, &i)| at * size + if size == 1 { 0 } else { i })
    }

    fn map(&self, f: impl FnMut(f64) -> f64) -> Self {
        Self { dims: self.dims.clone(), data: self.data.iter().copied().map(f).collect() }
    }

    /// Applies `f` to each row of the last axis.
    fn rows(&self, f: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let width = *self.dims.last().expect("a last axis");
        Self { dims: self.dims.clone(), data: self.data.chunks(width).flat_map(f).collect() }
    }

    fn reshaped(mut self, dims: Vec<usize>) -> Self {
        assert_eq!(self.data.len(), dims.iter().product::<usize>());
        self.dims = dims;
        self
    }
}

fn sizes(shape: &kernels::spec::Shape) -> Vec<usize> {
    shape.dims().iter().map(|&size| size as usize).collect()
}

/// Step of central differences: a power of two, small for the third derivative, large for rounding.
const STEP: f64 = 1.0 / (1 << 17) as f64;

/// Gradient of Σ dy·forward(inputs) with respect to `inputs[wrt]`, by central differences.
pub fn pullback(forward: &dyn Fn(&[Array]) -> Array, inputs: &[Array], wrt: usize, dy: &Array) -> Array {
    let mut moved = inputs.to_vec();
    let mut along = |element: usize, value: f64| {
        moved[wrt].data[element] = value;
        let y = forward(&moved);
        moved[wrt].data[element] = inputs[wrt].data[element];
        y
    };
    let slopes = inputs[wrt].data.iter().enumerate().map(|(element, &x)| {
        let (up, down) = (along(element, x + STEP), along(element, x - STEP));
        let rise = up.data.iter().zip(&down.data).map(|(u, d)| u - d);
        rise.zip(&dy.data).map(|(r, dy)| r * dy).sum::<f64>() / (2.0 * STEP)
    });
    Array { dims: inputs[wrt].dims.clone(), data: slopes.collect() }
}

/// What the op makes of its operands; for ops in place, the new values of what it writes.
pub fn apply(op: &Op, inputs: &[Array]) -> Vec<Array> {
    let gradient = |op: Op, inputs: &[Array], wrt: usize, dy: &Array| {
        pullback(&|moved: &[Array]| apply(&op, moved).swap_remove(0), inputs, wrt, dy)
    };
    match (op, inputs) {
        (Op::UnaryGrad(f), [x, _, dy]) => vec![gradient(Op::Unary(*f), std::slice::from_ref(x), 0, dy)],
        (Op::ChosenGrad(f), [a, b, dy]) => {
            vec![gradient(Op::Binary(*f), &[a.clone(), b.clone()], 0, dy)]
        }
        (Op::SoftcapGrad { cap }, [y, dy]) => {
            let c = f64::from(*cap);
            let x = y.map(|y| c * (y / c).atanh());
            vec![gradient(Op::Softcap { cap: *cap }, &[x], 0, dy)]
        }
        // The logarithms of probabilities have those probabilities as their softmax.
        (Op::SoftmaxGrad, [y, dy]) => vec![gradient(Op::Softmax, &[y.map(f64::ln)], 0, dy)],
        (Op::EmbeddingGrad { rows }, [indices, dy]) => {
            let width = *dy.dims.last().expect("a last axis");
            let table = Array::from_fn(&[*rows as usize, width], |_| 0.0);
            vec![gradient(Op::Embedding, &[table, indices.clone()], 0, dy)]
        }
        (Op::RmsNormGrad { eps }, [x, dy]) => {
            vec![gradient(Op::RmsNorm { eps: *eps }, std::slice::from_ref(x), 0, dy)]
        }
        (Op::AttentionGrad(how), [q, k, v, _, _, dy]) => {
            let forward = Op::Attention(*how);
            let operands = [q.clone(), k.clone(), v.clone()];
            (0..3).map(|wrt| gradient(forward.clone(), &operands, wrt, dy)).collect()
        }
        (Op::CrossEntropyGrad(loss), [logits, targets, _, dy]) => {
            let operands = [logits.clone(), targets.clone()];
            vec![gradient(Op::CrossEntropy(*loss), &operands, 0, dy)]
        }
        (Op::PowGrad { exponent }, [a, b, dy]) => {
            vec![gradient(Op::Binary(Binary::Pow), &[a.clone(), b.clone()], usize::from(*exponent), dy)]
        }
        (Op::LayerNormGrad { eps }, [x, dy]) => {
            vec![gradient(Op::LayerNorm { eps: *eps }, std::slice::from_ref(x), 0, dy)]
        }
        (Op::LinearCrossEntropy { loss, gradients }, [x, weight, targets]) => {
            let (vocab, width) = (weight.dims[0], weight.dims[1]);
            let rows = x.clone().reshaped(vec![x.data.len() / width, width]);
            let logits = matmul(&rows, weight, false, true).reshaped([targets.dims.as_slice(), &[vocab]].concat());
            let mut made = fused::cross_entropy(&logits, targets, loss);
            if *gradients {
                let forward = Op::LinearCrossEntropy { loss: *loss, gradients: false };
                let one = Array { dims: Vec::new(), data: vec![1.0] };
                made.extend((0..2).map(|wrt| gradient(forward.clone(), inputs, wrt, &one)));
            }
            made
        }
        (Op::Attention(how), [q, k, v]) => fused::attention(q, k, v, how),
        (Op::CrossEntropy(loss), [logits, targets]) => fused::cross_entropy(logits, targets, loss),
        (Op::AdamW(how), [x, grad, m, v]) => fused::adamw([x, grad, m, v], how),
        _ => vec![single(op, inputs)],
    }
}

fn single(op: &Op, inputs: &[Array]) -> Array {
    match (op, inputs) {
        (Op::Full { shape, value }, []) => Array::from_fn(&sizes(shape), |_| f64::from(*value)),
        (Op::Arange { len }, []) => Array::from_fn(&[*len as usize], |i| i[0] as f64),
        (Op::Copy, [x]) => x.clone(),
        (Op::Reshape { shape }, [x]) => x.clone().reshaped(sizes(shape)),
        (Op::Permute { axes }, [x]) => permute(x, axes),
        (Op::Narrow { axis, start, len }, [x]) => narrow(x, *axis as usize, *start as usize, *len as usize),
        (Op::Pad { axis, before, after }, [x]) => pad(x, *axis as usize, *before as usize, *after as usize),
        (Op::Cat { axis }, parts) => cat(parts, *axis as usize),
        (Op::Expand { shape }, [x]) => Array::from_fn(&sizes(shape), |i| x.at(i)),

        (Op::Compare(f), [a, b]) => {
            Array::from_fn(&broadcast(&a.dims, &b.dims), |i| f64::from(compare(*f, a.at(i), b.at(i))))
        }
        (Op::Select, [condition, a, b]) => {
            let dims = broadcast(&broadcast(&condition.dims, &a.dims), &b.dims);
            Array::from_fn(&dims, |i| if condition.at(i) != 0.0 { a.at(i) } else { b.at(i) })
        }
        (Op::Unary(f), [x]) => x.map(|x| unary(*f, x)),
        (Op::Binary(f), [a, b]) => Array::from_fn(&broadcast(&a.dims, &b.dims), |i| binary(*f, a.at(i), b.at(i))),
        (Op::Affine { mul, add }, [x]) => x.map(|x| x * f64::from(*mul) + f64::from(*add)),
        (Op::Softcap { cap }, [x]) => x.map(|x| fused::softcap(x, f64::from(*cap))),

        (Op::Sum { axes, keep }, [x]) => sum(x, axes, *keep),
        (Op::Mean { axes, keep }, [x]) => {
            let total = sum(x, axes, *keep);
            let each = x.data.len() / total.data.len();
            total.map(|x| x / each as f64)
        }
        (Op::SumTo { shape }, [x]) => sum_to(x, &sizes(shape)),
        (Op::Max { axes, keep }, [x]) => order::extreme(x, axes, *keep, 1.0),
        (Op::Min { axes, keep }, [x]) => order::extreme(x, axes, *keep, -1.0),
        (Op::ArgMax { axis }, [x]) => order::argmax(x, *axis as usize),
        (Op::ArgSort { descending }, [x]) => x.rows(|row| order::argsort(row, *descending)),
        (Op::CumSum { axis, reverse }, [x]) => order::cumsum(x, *axis as usize, *reverse),
        (Op::LogSumExp, [x]) => {
            let (width, rows) = x.dims.split_last().expect("a last axis");
            Array { dims: rows.to_vec(), data: x.data.chunks(*width).map(fused::logsumexp).collect() }
        }
        (Op::Gather { axis }, [x, indices]) => order::gather(x, indices, *axis as usize),
        (Op::ScatterAdd { axis }, [x, indices, values]) => order::scatter_add(x, indices, values, *axis as usize),
        (Op::Softmax, [x]) => x.rows(softmax),

        (Op::MatMul { transpose_a, transpose_b }, [a, b]) => matmul(a, b, *transpose_a, *transpose_b),
        (Op::Embedding, [table, indices]) => {
            let dims = [indices.dims.as_slice(), &table.dims[1..]].concat();
            Array::from_fn(&dims, |i| {
                let (&column, position) = i.split_last().expect("a last axis");
                table.at(&[indices.at(position) as usize, column])
            })
        }
        (Op::RmsNorm { eps }, [x]) => x.rows(|row| {
            let mean = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
            row.iter().map(|x| x / (mean + f64::from(*eps)).sqrt()).collect()
        }),
        (Op::LayerNorm { eps }, [x]) => x.rows(|row| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
            row.iter().map(|x| (x - mean) / (variance + f64::from(*eps)).sqrt()).collect()
        }),
        (Op::Rope { base, inverse }, [x]) => fused::rope(x, f64::from(*base), *inverse),
        (Op::NewtonSchulz { coefficients }, [x]) => fused::newton_schulz(x, coefficients),

        (Op::Assign, [_, value]) => value.clone(),
        (Op::Blend { keep, scale }, [x, value]) => {
            Array::from_fn(&x.dims, |i| f64::from(*keep) * x.at(i) + f64::from(*scale) * value.at(i))
        }
        _ => panic!("no definition of {op:?} with {} operands", inputs.len()),
    }
}

fn unary(f: Unary, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match f {
        Unary::Neg => -x,
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Square => x * x,
        Unary::Abs => x.abs(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => sigmoid(x),
        Unary::Relu => x.max(0.0),
        Unary::ReluSquared => x.max(0.0).powi(2),
        Unary::Gelu => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Unary::Silu => x * sigmoid(x),
        Unary::Sign if x == 0.0 || x.is_nan() => x,
        Unary::Sign => x.signum(),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
    }
}

fn binary(f: Binary, a: f64, b: f64) -> f64 {
    match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => a.powf(b),
        Binary::Maximum | Binary::Minimum if a.is_nan() || b.is_nan() => f64::NAN,
        Binary::Maximum => a.max(b),
        Binary::Minimum => a.min(b),
        _ => panic!("{f:?} is of integers"),
    }
}

/// Whether the comparison holds.
pub fn compare<T: PartialOrd>(f: Compare, a: T, b: T) -> bool {
    match f {
        Compare::Eq => a == b,
        Compare::Ne => a != b,
        Compare::Lt => a < b,
        Compare::Le => a <= b,
        Compare::Gt => a > b,
        Compare::Ge => a >= b,
    }
}

/// NumPy's rule, for shapes that broadcast.
pub fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    (0..rank).map(|axis| size(a, axis).max(size(b, axis))).collect()
}

fn permute(x: &Array, axes: &[u32]) -> Array {
    let dims: Vec<usize> = axes.iter().map(|&axis| x.dims[axis as usize]).collect();
    Array::from_fn(&dims, |i| {
        let mut from = vec![0; i.len()];
        for (&axis, &at) in axes.iter().zip(i) {
            from[axis as usize] = at;
        }
        x.at(&from)
    })
}

fn narrow(x: &Array, axis: usize, start: usize, len: usize) -> Array {
    let mut dims = x.dims.clone();
    dims[axis] = len;
    Array::from_fn(&dims, |i| {
        let mut from = i.to_vec();
        from[axis] += start;
        x.at(&from)
    })
}

fn pad(x: &Array, axis: usize, before: usize, after: usize) -> Array {
    let mut dims = x.dims.clone();
    dims[axis] += before + after;
    Array::from_fn(&dims, |i| {
        let mut from = i.to_vec();
        match i[axis].checked_sub(before) {
            Some(at) if at < x.dims[axis] => {
                from[axis] = at;
                x.at(&from)
            }
            _ => 0.0,
        }
    })
}

fn cat(parts: &[Array], axis: usize) -> Array {
    let mut dims = parts[0].dims.clone();
    dims[axis] = parts.iter().map(|part| part.dims[axis]).sum();
    Array::from_fn(&dims, |i| {
        let mut from = i.to_vec();
        for part in parts {
            if from[axis] < part.dims[axis] {
                return part.at(&from);
            }
            from[axis] -= part.dims[axis];
        }
        unreachable!("the parts fill the axis")
    })
}

fn sum_to(x: &Array, dims: &[usize]) -> Array {
    let mut total = Array::from_fn(dims, |_| 0.0);
    Array::from_fn(&x.dims, |i| {
        let at = total.offset(i);
        total.data[at] += x.at(i);
        0.0
    });
    total
}

fn sum(x: &Array, axes: &[u32], keep: bool) -> Array {
    let mut kept = x.dims.clone();
    for &axis in axes {
        kept[axis as usize] = 1;
    }
    let rest = (0u32..).zip(&x.dims).filter(|(axis, _)| !axes.contains(axis)).map(|(_, &size)| size).collect();
    let total = sum_to(x, &kept);
    if keep { total } else { total.reshaped(rest) }
}

/// Softmax of one row.
fn softmax(row: &[f64]) -> Vec<f64> {
    let all = fused::logsumexp(row);
    row.iter().map(|x| (x - all).exp()).collect()
}

fn matmul(a: &Array, b: &Array, transpose_a: bool, transpose_b: bool) -> Array {
    let plain = |x: &Array, transpose: bool| {
        let rank = x.dims.len() as u32;
        let mut axes: Vec<u32> = (0..rank).collect();
        axes.swap(rank as usize - 2, rank as usize - 1);
        if transpose { permute(x, &axes) } else { x.clone() }
    };
    let (a, b) = (plain(a, transpose_a), plain(b, transpose_b));
    let (inner, columns) = (a.dims[a.dims.len() - 1], b.dims[b.dims.len() - 1]);
    let mut dims = a.dims.clone();
    *dims.last_mut().expect("a matrix") = columns;
    Array::from_fn(&dims, |i| {
        let (lead, &[row, column]) = i.split_last_chunk().expect("a matrix");
        let product = |k: usize| a.at(&[lead, &[row, k]].concat()) * b.at(&[lead, &[k, column]].concat());
        (0..inner).map(product).sum()
    })
}
