//! Order: which element is largest, which comes first. NaN is above every number, −0 equals 0, and among equals the
//! earlier place wins.

/// Elements that have an order.
pub trait Ordered: Copy + Send + Sync {
    /// A number that orders as the element does.
    fn rank(self) -> u64;
}

impl Ordered for f32 {
    #[inline(always)]
    fn rank(self) -> u64 {
        let bits = (self + 0.0).to_bits();
        let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        if self.is_nan() { u64::MAX } else { u64::from(ordered) }
    }
}

impl Ordered for u8 {
    #[inline(always)]
    fn rank(self) -> u64 {
        u64::from(self)
    }
}

impl Ordered for u32 {
    #[inline(always)]
    fn rank(self) -> u64 {
        u64::from(self)
    }
}

impl Ordered for i64 {
    #[inline(always)]
    fn rank(self) -> u64 {
        self as u64 ^ 1 << 63
    }
}

/// Places of each row of n in order of value.
pub fn argsort<T: Ordered>(x: &[T], n: usize, descending: bool, y: &mut [u32]) {
    let mut keyed = Vec::with_capacity(n);
    for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
        let key = |x: &T| if descending { !x.rank() } else { x.rank() };
        keyed.clear();
        keyed.extend(x.iter().map(key).zip(0u32..));
        keyed.sort_unstable();
        y.iter_mut().zip(&keyed).for_each(|(y, (_, place))| *y = *place);
    }
}

/// The first place of the largest of n elements that lie `inner` apart: x [.., n, inner] → y [.., inner].
pub fn argmax<T: Ordered>(x: &[T], n: usize, inner: usize, y: &mut [u32]) {
    let mut best = vec![0; inner];
    for (x, y) in x.chunks_exact(n * inner).zip(y.chunks_exact_mut(inner)) {
        for (place, x) in (0u32..).zip(x.chunks_exact(inner)) {
            for ((best, y), x) in best.iter_mut().zip(y.iter_mut()).zip(x) {
                let rank = x.rank();
                if place == 0 || rank > *best {
                    (*best, *y) = (rank, place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_ties_and_zeros() {
        let x = [1.0, f32::NAN, -0.0, 0.0, f32::NEG_INFINITY, 1.0, -f32::NAN, f32::INFINITY];
        let mut y = [0; 8];
        argsort(&x, 8, false, &mut y);
        assert_eq!(y, [4, 2, 3, 0, 5, 7, 1, 6]);
        argsort(&x, 8, true, &mut y);
        assert_eq!(y, [1, 6, 7, 0, 5, 2, 3, 4]);
        let mut first = [0];
        argmax(&x, 8, 1, &mut first);
        assert_eq!(first, [1]);
        argmax(&[-1i64, 5, 5, i64::MIN], 4, 1, &mut first);
        assert_eq!(first, [1]);
    }
}
