//! Operands of a product laid out as its innermost loop reads them.

use super::matrix::View;
use super::micro::{MR, NR};
use super::path::{Path, kernel};
use std::ops::Range;

/// Columns of B: row after row of 16, zeros beyond the edge.
pub fn columns(path: Path, b: View, terms: Range<usize>, columns: Range<usize>, panel: &mut [f32]) {
    let data = &b.data[terms.start * b.row + columns.start * b.col..];
    let rows = panel.as_chunks_mut::<NR>().0;
    match (b.col, b.row, columns.len()) {
        (1, _, NR) => copy_rows(path, data, b.row, rows),
        (_, 1, NR) => transpose(path, data, b.col, rows),
        (_, _, width) => {
            for (p, row) in rows.iter_mut().enumerate() {
                for (j, slot) in row.iter_mut().enumerate() {
                    *slot = if j < width { data[p * b.row + j * b.col] } else { 0.0 };
                }
            }
        }
    }
}

kernel! {
    fn copy_rows(data: &[f32], step: usize, rows: &mut [[f32; NR]]) {
        for (p, row) in rows.iter_mut().enumerate() {
            if let Some(from) = data[p * step..].first_chunk::<NR>() {
                *row = *from;
            }
        }
    }
}

/// 16 columns, `step` apart and each contiguous, become rows of 16.
fn transpose(path: Path, data: &[f32], step: usize, rows: &mut [[f32; NR]]) {
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if path.is_avx2() {
        done = rows.len() / 8 * 8;
        assert!(done == 0 || (NR - 1) * step + done <= data.len(), "columns leave their slice");
        for (i, rows) in rows.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // SAFETY: the path promises AVX2; 8 elements of each of the 16 columns were checked to be there.
            unsafe { avx2::transpose(data.as_ptr().add(8 * i), step, rows) };
        }
    }
    let _ = path;
    for j in 0..NR {
        for (row, value) in rows[done..].iter_mut().zip(&data[j * step + done..]) {
            row[j] = *value;
        }
    }
}

/// Rows of A in tiles of 6: element (i, p) of a tile at 6·p + i. `packed` has 2 elements more than the tiles.
pub fn rows(path: Path, a: View, rows: Range<usize>, terms: Range<usize>, packed: &mut [f32]) {
    let data = &a.data[rows.start * a.row + terms.start * a.col..];
    let whole = if a.row == 1 { rows.len() / MR } else { 0 };
    copy_columns(path, data, a.col, terms.len(), whole, packed);
    for i in whole * MR..rows.len() {
        let tile = &mut packed[i / MR * MR * terms.len()..];
        for p in 0..terms.len() {
            tile[p * MR + i % MR] = data[p * a.col + i * a.row];
        }
    }
}

kernel! {
    /// Term after term, as the elements lie in memory.
    fn copy_columns(data: &[f32], step: usize, terms: usize, tiles: usize, packed: &mut [f32]) {
        for p in 0..terms {
            for i in 0..tiles {
                let (from, to) = (&data[p * step + i * MR..], &mut packed[(i * terms + p) * MR..]);
                // Two elements too many cost less than six single ones; the next term overwrites them.
                match (from.first_chunk::<8>(), to.first_chunk_mut::<8>()) {
                    (Some(from), Some(to)) if p + 1 < terms => *to = *from,
                    _ => to[..MR].copy_from_slice(&from[..MR]),
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::NR;
    use std::arch::x86_64::*;

    /// 8 elements of 16 columns, `step` apart, become 8 rows.
    ///
    /// # Safety
    /// Needs AVX2; the elements must be there to read.
    #[target_feature(enable = "avx2")]
    pub unsafe fn transpose(data: *const f32, step: usize, rows: &mut [[f32; NR]; 8]) {
        for half in [0, 8] {
            // SAFETY: the caller's promise; each row has 16 elements.
            unsafe {
                let x: [__m256; 8] = std::array::from_fn(|j| _mm256_loadu_ps(data.add((half + j) * step)));
                let pairs: [__m256; 8] = std::array::from_fn(|i| {
                    let (a, b) = (x[i / 2 * 2], x[i / 2 * 2 + 1]);
                    if i % 2 == 0 { _mm256_unpacklo_ps(a, b) } else { _mm256_unpackhi_ps(a, b) }
                });
                let quads: [__m256; 8] = std::array::from_fn(|i| {
                    let (a, b) = (pairs[i / 4 * 4 + i / 2 % 2], pairs[i / 4 * 4 + i / 2 % 2 + 2]);
                    if i % 2 == 0 { _mm256_shuffle_ps::<0x44>(a, b) } else { _mm256_shuffle_ps::<0xEE>(a, b) }
                });
                for p in 0..4 {
                    let (a, b) = (quads[p], quads[p + 4]);
                    _mm256_storeu_ps(rows[p].as_mut_ptr().add(half), _mm256_permute2f128_ps::<0x20>(a, b));
                    _mm256_storeu_ps(rows[p + 4].as_mut_ptr().add(half), _mm256_permute2f128_ps::<0x31>(a, b));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_is_packed_alike() {
        let data: Vec<f32> = (0..40 * 40).map(|i| i as f32).collect();
        for path in Path::all() {
            for (row, col) in [(40, 1), (1, 40)] {
                for (terms, width) in [(19, 16), (8, 16), (7, 16), (19, 5)] {
                    let b = View { data: &data, row, col };
                    let mut panel = vec![f32::NAN; terms * NR];
                    columns(path, b, 3..3 + terms, 2..2 + width, &mut panel);
                    for (i, &value) in panel.iter().enumerate() {
                        let (p, j) = (3 + i / NR, 2 + i % NR);
                        let want = if i % NR < width { data[p * row + j * col] } else { 0.0 };
                        assert_eq!(value, want, "{} {row} {terms} {width} {i}", path.name());
                    }
                    let tiles = width.div_ceil(MR);
                    let mut packed = vec![f32::NAN; tiles * terms * MR + 2];
                    rows(path, b, 2..2 + width, 3..3 + terms, &mut packed);
                    for i in 0..width {
                        for p in 0..terms {
                            let value = packed[i / MR * MR * terms + p * MR + i % MR];
                            assert_eq!(value, data[(2 + i) * row + (3 + p) * col]);
                        }
                    }
                }
            }
        }
    }
}
