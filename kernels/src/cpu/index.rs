//! Tables read and written by index. Depends on `reduce`.

use super::path::Path;
use super::reduce;

/// The first index that is not below `limit`, in words.
pub fn out_of_range(indices: &[u32], limit: usize) -> Option<String> {
    let (at, value) = indices.iter().enumerate().find(|(_, i)| **i as usize >= limit)?;
    Some(format!("index {value} at position {at} is not below {limit}"))
}

/// Rows of `table`, each of `dim` elements, in the order of `indices`, all in range.
pub fn embedding(table: &[f32], indices: &[u32], dim: usize, out: &mut [f32]) {
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
