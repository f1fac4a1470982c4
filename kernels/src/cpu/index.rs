//! Tables read and written by index.

use super::memory::Element;
use super::path::Path;
use super::reduce;

/// The first index that is not below `limit`, in words; `first` is the position of the first index.
pub fn out_of_range(indices: &[u32], limit: usize, first: usize) -> Option<String> {
    let (at, value) = indices.iter().enumerate().find(|(_, i)| **i as usize >= limit)?;
    Some(format!("index {value} at position {} is not below {limit}", first + at))
}

/// Rows of `table`, each of `dim` elements, in the order of `indices`, all in range.
pub fn embedding<T: Element>(table: &[T], indices: &[u32], dim: usize, out: &mut [T]) {
    for (row, index) in out.chunks_exact_mut(dim).zip(indices) {
        let from = *index as usize * dim;
        row.copy_from_slice(&table[from..from + dim]);
    }
}

/// Adds row i of `dy` to row `indices[i] − first` of `out`, where there is one, in order of i, from zeros.
pub fn embedding_grad(path: Path, indices: &[u32], dy: &[f32], dim: usize, first: usize, out: &mut [f32]) {
    out.fill(0.0);
    for (index, dy) in indices.iter().zip(dy.chunks_exact(dim)) {
        if let Some(row) = (*index as usize).checked_sub(first)
            && let Some(out) = out.get_mut(row * dim..(row + 1) * dim)
        {
            reduce::accumulate(path, out, dy);
        }
    }
}

/// How an axis lies in memory: n positions, `inner` elements apart, in an operand; as many in the indices as `picked`.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Positions in the operand.
    pub n: usize,
    /// Positions in the indices.
    pub picked: usize,
    /// Elements from one position to the next.
    pub inner: usize,
}

/// Elements of x [.., n, inner] at `indices` [.., picked, inner], all in range.
pub fn gather<T: Element>(x: &[T], indices: &[u32], axis: Axis, out: &mut [T]) {
    let Axis { n, picked, inner } = axis;
    for (i, (out, index)) in out.iter_mut().zip(indices).enumerate() {
        let row = i / (picked * inner) * n + *index as usize;
        *out = x[row * inner + i % inner];
    }
}

/// Adds each of `values` [.., picked, inner] to out [.., n, inner] at its index, in order.
pub fn scatter_add(values: &[f32], indices: &[u32], axis: Axis, out: &mut [f32]) {
    let Axis { n, picked, inner } = axis;
    for (i, (value, index)) in values.iter().zip(indices).enumerate() {
        let row = i / (picked * inner) * n + *index as usize;
        out[row * inner + i % inner] += value;
    }
}
