//! Philox 4×32-10 (Salmon et al., *Parallel Random Numbers: As Easy as 1, 2, 3*, SC 2011) and the distributions drawn
//! from it. A value is a function of key and position alone.

use super::math;

/// The ten-round bijection.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p0 = u64::from(c0) * 0xD251_1F53;
        let p1 = u64::from(c2) * 0xCD9E_8D57;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// The seed and stream of a draw; its position is the third thing that it depends on.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Random seed of the experiment.
    pub seed: u64,
    /// The guest's stream.
    pub stream: u32,
}

impl Key {
    /// Four words of block `block`: the seed is the key, the counter holds block, stream and 0.
    #[inline(always)]
    fn block(self, block: u64) -> [u32; 4] {
        let counter = [block as u32, (block >> 32) as u32, self.stream, 0];
        philox(counter, [self.seed as u32, (self.seed >> 32) as u32])
    }

    /// Calls `put` with each element's index and word pair: element e reads word e mod 4 of block e/4, and the other
    /// word of its pair.
    fn words(self, position: u64, len: usize, mut put: impl FnMut(usize, u32, u32, bool)) {
        let mut at = 0;
        while at < len {
            let element = position.wrapping_add(at as u64);
            let words = self.block(element / 4);
            for lane in (element % 4) as usize..4 {
                if at < len {
                    put(at, words[lane & 2], words[lane | 1], lane & 1 == 0);
                    at += 1;
                }
            }
        }
    }

    /// Uniform in [low, high): 24 bits of each word.
    pub fn uniform(self, position: u64, low: f32, high: f32, out: &mut [f32]) {
        let below = if high > low { high.next_down() } else { high };
        self.words(position, out.len(), |i, a, b, first| {
            let u = unit(if first { a } else { b });
            let value = math::fma(u, high - low, low);
            // Rounding may reach the open end.
            out[i] = if value > below { below } else { value };
        });
    }

    /// Normal by Box–Muller: each pair of words gives a cosine and a sine value.
    pub fn normal(self, position: u64, mean: f32, std: f32, out: &mut [f32]) {
        self.words(position, out.len(), |i, a, b, first| {
            // 1 − u lies in (0, 1].
            let radius = (-2.0 * math::log(1.0 - unit(a))).sqrt();
            let (sin, cos) = math::sin_cos(f64::from(unit(b)) * std::f64::consts::TAU);
            out[i] = math::fma(radius * if first { cos } else { sin } as f32, std, mean);
        });
    }
}

#[inline(always)]
fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with Random123.
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(counter, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn moments_and_positions() {
        let key = Key { seed: 7, stream: 3 };
        let mut all = vec![0.0; 40_000];
        key.normal(0, 1.0, 2.0, &mut all);
        let mean = all.iter().sum::<f32>() / 40_000.0;
        let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 40_000.0;
        assert!((mean - 1.0).abs() < 0.05 && (variance - 4.0).abs() < 0.1, "{mean} {variance}");
        let mut part = vec![0.0; 5];
        key.normal(13, 1.0, 2.0, &mut part);
        assert_eq!(part, all[13..18]);
        key.uniform(0, -1.0, 3.0, &mut all);
        assert!(all.iter().all(|x| (-1.0..3.0).contains(x)));
        assert!((all.iter().sum::<f32>() / 40_000.0 - 1.0).abs() < 0.05);
    }
}
