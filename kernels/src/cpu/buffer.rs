//! Memory of tensors: aligned, pooled by size, reused without zeroing. Depends on `spec` only.

use std::collections::BTreeMap;

/// One cache line of elements.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Elements of one tensor: 32-bit words, read as f32 or u32.
#[derive(Debug)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// The elements as u32.
    pub fn u32(&self) -> &[u32] {
        // SAFETY: lines are contiguous u32 without padding, and `len` is at most 16 per line.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// The elements as u32, to write.
    pub fn u32_mut(&mut self) -> &mut [u32] {
        // SAFETY: as in `u32`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }

    /// The elements as f32.
    pub fn f32(&self) -> &[f32] {
        // SAFETY: as in `u32`; every pattern of 32 bits is an f32.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// The elements as f32, to write.
    pub fn f32_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `f32`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// Buffers that wait to be used again, by number of lines.
#[derive(Debug, Default)]
pub struct Pool {
    free: BTreeMap<usize, Vec<Vec<Line>>>,
}

impl Pool {
    /// A buffer of `len` elements with arbitrary contents: the caller writes each.
    pub fn take(&mut self, len: usize) -> Buffer {
        let count = class(len.div_ceil(16));
        let lines = self.free.get_mut(&count).and_then(Vec::pop).unwrap_or_else(|| vec![Line([0; 16]); count]);
        Buffer { lines, len }
    }

    /// Takes a buffer back.
    pub fn give(&mut self, buffer: Buffer) {
        self.free.entry(buffer.lines.len()).or_default().push(buffer.lines);
    }
}

/// Rounds up to four classes per power of two: at most a quarter is wasted.
fn class(lines: usize) -> usize {
    let step = (lines.next_power_of_two() / 8).max(1);
    lines.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_reused() {
        let mut pool = Pool::default();
        let mut a = pool.take(1000);
        assert_eq!(a.f32().as_ptr() as usize % 64, 0);
        a.f32_mut().fill(3.0);
        let at = a.f32().as_ptr();
        pool.give(a);
        let b = pool.take(1001);
        assert_eq!((b.f32().as_ptr(), b.f32().len()), (at, 1001));
        assert_eq!(b.u32()[0], 3.0f32.to_bits());
    }
}
