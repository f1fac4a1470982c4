//! The innermost loop of a product: a tile of at most 6 × 16 sums over one block of k, in registers. One version of
//! plain Rust, one for AVX2; both give the same bits.

use super::math::fma;
use super::matrix::Tile;
use super::path::Path;

/// Rows of a tile.
pub const MR: usize = 6;
/// Columns of a tile: two vectors of AVX2, four of NEON.
pub const NR: usize = 16;

/// Rows of A: element (i, p) at `i * row + p * term`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub term: usize,
}

/// The kernel that computes a tile on one path.
#[derive(Clone, Copy)]
pub struct Kernel(Path);

impl Kernel {
    /// The kernel of a path.
    pub fn of(path: Path) -> Self {
        Self(path)
    }

    /// C = A·B, or C += A·B where `add`, over `terms` terms; `panel` holds 16 columns of B, row after row.
    pub fn tile(self, a: Left, panel: &[f32], terms: usize, mut c: Tile, add: bool) {
        let last = (c.rows - 1) * a.row + (terms - 1) * a.term;
        assert!(last < a.data.len() && terms * NR <= panel.len(), "a tile reads beyond its operands");
        match c.rows {
            1 => self.rows::<1>(a, panel, terms, &mut c, add),
            2 => self.rows::<2>(a, panel, terms, &mut c, add),
            3 => self.rows::<3>(a, panel, terms, &mut c, add),
            4 => self.rows::<4>(a, panel, terms, &mut c, add),
            5 => self.rows::<5>(a, panel, terms, &mut c, add),
            MR => self.rows::<MR>(a, panel, terms, &mut c, add),
            rows => panic!("a tile has at most {MR} rows, not {rows}"),
        }
    }

    fn rows<const R: usize>(self, a: Left, panel: &[f32], terms: usize, c: &mut Tile, add: bool) {
        #[cfg(target_arch = "x86_64")]
        if self.0.is_avx2() {
            // SAFETY: the path promises AVX2 and FMA; `tile` has checked what is read, and C has R rows.
            unsafe { avx2::rows::<R>(a, panel, terms, c, add) };
            return;
        }
        put(c, &plain::<R>(a, &panel[..terms * NR]), add);
    }
}

/// Stores or adds the sums of a tile that is not whole.
fn put<const R: usize>(c: &mut Tile, sums: &[[f32; NR]; R], add: bool) {
    for (i, sums) in sums.iter().enumerate() {
        let row = c.row(i).iter_mut().zip(sums);
        if add { row.for_each(|(c, s)| *c += s) } else { row.for_each(|(c, s)| *c = *s) }
    }
}

/// The reference, in plain Rust.
fn plain<const R: usize>(a: Left, panel: &[f32]) -> [[f32; NR]; R] {
    let mut sums = [[0.0f32; NR]; R];
    for (p, b) in panel.as_chunks::<NR>().0.iter().enumerate() {
        for (i, sums) in sums.iter_mut().enumerate() {
            let x = a.data[i * a.row + p * a.term];
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = fma(x, *b, *sum);
            }
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Left, NR, Tile, put};
    use std::arch::x86_64::*;

    /// # Safety
    /// Needs AVX2 and FMA; `a` must hold R rows of `terms` terms, `panel` 16·`terms` elements, and C R rows.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn rows<const R: usize>(a: Left, panel: &[f32], terms: usize, c: &mut Tile, add: bool) {
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        let (mut x, mut b) = (a.data.as_ptr(), panel.as_ptr());
        // SAFETY: the caller's promise.
        unsafe {
            for i in 0..R {
                _mm_prefetch::<_MM_HINT_T0>(c.start.add(i * c.stride).cast());
            }
            for _ in 0..terms {
                let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_broadcast_ss(&*x.add(i * a.row));
                    sums[0] = _mm256_fmadd_ps(x, b0, sums[0]);
                    sums[1] = _mm256_fmadd_ps(x, b1, sums[1]);
                }
                x = x.wrapping_add(a.term);
                b = b.add(NR);
            }
            if c.cols < NR {
                let mut whole = [[0.0; NR]; R];
                for (to, sums) in whole.iter_mut().zip(sums) {
                    _mm256_storeu_ps(to.as_mut_ptr(), sums[0]);
                    _mm256_storeu_ps(to.as_mut_ptr().add(8), sums[1]);
                }
                return put(c, &whole, add);
            }
            for (i, [mut low, mut high]) in sums.into_iter().enumerate() {
                let to = c.start.add(i * c.stride);
                if add {
                    low = _mm256_add_ps(_mm256_loadu_ps(to), low);
                    high = _mm256_add_ps(_mm256_loadu_ps(to.add(8)), high);
                }
                _mm256_storeu_ps(to, low);
                _mm256_storeu_ps(to.add(8), high);
            }
        }
    }
}
