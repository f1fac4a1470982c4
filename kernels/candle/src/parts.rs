//! What several compositions share.

use candle_core::{D, Result, Tensor};
use kernels::spec::Shape;

/// The same values in order, with strides to match. candle's `contiguous` keeps any stride of an axis of size 1, and
/// its reductions then divide by a stride of 0.
pub(super) fn row_major(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.reshape(x.dims())
}

/// Exchanges the last two axes.
pub(super) fn transposed(x: &Tensor) -> Result<Tensor> {
    row_major(&x.transpose(D::Minus2, D::Minus1)?)
}

/// a·b over the last two axes; `b` of rank 2 serves every leading index of `a`. Leading axes are folded into one, since
/// candle multiplies no more than two of them.
pub(super) fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (rows, inner, columns) = (a.dim(D::Minus2)?, a.dim(D::Minus1)?, b.dim(D::Minus1)?);
    let mut shape = a.dims().to_vec();
    shape.pop();
    shape.push(columns);
    let folded = if b.rank() == 2 {
        a.reshape(((), inner))?.matmul(b)?
    } else {
        a.reshape(((), rows, inner))?.matmul(&b.reshape(((), inner, columns))?)?
    };
    folded.reshape(shape)
}

/// cap·tanh(x/cap)
pub(super) fn softcap(x: &Tensor, cap: f32) -> Result<Tensor> {
    x.affine(1.0 / f64::from(cap), 0.0)?.tanh()?.affine(f64::from(cap), 0.0)
}

/// Derivative of softcap where it is y: 1 − (y/cap)².
pub(super) fn softcap_derivative(y: &Tensor, cap: f32) -> Result<Tensor> {
    y.affine(1.0 / f64::from(cap), 0.0)?.sqr()?.affine(-1.0, 1.0)
}

pub(super) fn dims(shape: &Shape) -> Vec<usize> {
    shape.dims().iter().map(|&size| size as usize).collect()
}
