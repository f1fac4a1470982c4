//! Tables read and written by index. Depends on `reduce`.

use super::reduce;
use super::threads::Threads;

/// The first index that is not below `limit`, in words.
pub fn out_of_range(indices: &[u32], limit: usize) -> Option<String> {
    let (at, value) = indices.iter().enumerate().find(|(_, i)| **i as usize >= limit)?;
    Some(format!("index {value} at position {at} is not below {limit}"))
}

/// Rows of `table`, each of `dim` elements, in the order of `indices`, all in range.
pub fn embedding(threads: &Threads, table: &[f32], indices: &[u32], dim: usize, out: &mut [f32]) {
    threads.pieces(out, dim * 256, |at, piece| {
        for (row, index) in piece.chunks_exact_mut(dim).zip(&indices[at / dim..]) {
            let from = *index as usize * dim;
            row.copy_from_slice(&table[from..from + dim]);
        }
    });
}

/// Adds row i of `dy` to row `indices[i]` of `out`, in order of i, from zeros.
pub fn embedding_grad(threads: &Threads, indices: &[u32], dy: &[f32], dim: usize, out: &mut [f32]) {
    let rows = (out.len() / dim).div_ceil(8);
    threads.pieces(out, rows * dim, |at, piece| {
        piece.fill(0.0);
        let first = at / dim;
        for (index, dy) in indices.iter().zip(dy.chunks_exact(dim)) {
            if let Some(row) = (*index as usize).checked_sub(first)
                && let Some(out) = piece.get_mut(row * dim..(row + 1) * dim)
            {
                reduce::accumulate(threads.path, out, dy);
            }
        }
    });
}
