//! A small deterministic random generator for proposals: SplitMix64 (Steele, Lea and Flood, 2014), seeded with BLAKE3.
//! Not for secrets. Imports nothing of the host.

/// A stream of random numbers that depends only on its seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream for trial `trial` of a night with random seed `night`.
    pub fn new(night: u64, trial: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("lab evolve proposals v1");
        hasher.update(&night.to_le_bytes());
        hasher.update(&trial.to_le_bytes());
        let mut state = [0; 8];
        hasher.finalize_xof().fill(&mut state);
        Self(u64::from_le_bytes(state))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// One of the items; `None` if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = (self.uniform() * items.len() as f64) as usize;
        items.get(index)
    }

    /// An index drawn in proportion to its weight; `None` if no weight is positive.
    pub fn weighted(&mut self, weights: &[f64]) -> Option<usize> {
        let mut left = self.uniform() * weights.iter().sum::<f64>();
        let mut last = None;
        for (i, &weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
            last = Some(i);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_pinned() {
        let mut random = Random::new(1337, 1);
        let again = Random::new(1337, 1).bits();
        assert_eq!(random.bits(), again);
        assert_ne!(Random::new(1337, 2).bits(), again);
        // SplitMix64 from state 0, as published.
        assert_eq!(Random(0).bits(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn weights_are_respected() {
        let mut random = Random::new(0, 0);
        let mut counts = [0; 3];
        for _ in 0..4000 {
            counts[random.weighted(&[1.0, 0.0, 3.0]).unwrap()] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((2800..3200).contains(&counts[2]), "{counts:?}");
        assert_eq!(random.weighted(&[0.0]), None);
    }
}
