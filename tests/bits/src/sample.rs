//! Sizes, choices and values, the same in every run. SplitMix64 (Steele, Lea and Flood, 2014), so that the generator
//! under test is not the one that tests it.

use kernels::spec::{DType, Values};

/// Values that arithmetic trips over: NaNs, zeros, infinities, subnormals, the largest, neighbours of 1.
const EDGES: [u32; 20] = [
    0x7fc0_0000,
    0xffc0_1234,
    0x7f80_0001,
    0x0000_0000,
    0x8000_0000,
    0x7f80_0000,
    0xff80_0000,
    0x0000_0001,
    0x8000_0001,
    0x007f_ffff,
    0x807f_ffff,
    0x0080_0000,
    0x7f7f_ffff,
    0xff7f_ffff,
    0x3f80_0000,
    0x3f7f_ffff,
    0x3f80_0001,
    0xbf80_0000,
    0x4b7f_ffff,
    0x42b1_7218,
];

/// What kind of values a piece of work is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// In (−2, 2).
    Plain,
    /// Of any size, with [`EDGES`] strewn in.
    Edges,
    /// So small that products and sums are subnormal, among others that are not.
    Tiny,
}

impl Flavour {
    /// As in the names of cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Edges => "edges",
            Self::Tiny => "tiny",
        }
    }
}

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Sample(u64);

impl Sample {
    /// The stream of a number.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        (self.next() % u64::from(limit.max(1))) as u32
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }

    fn float(&mut self, flavour: Flavour) -> f32 {
        let plain = self.below(1 << 24) as f32 / (1 << 22) as f32 - 2.0;
        match flavour {
            Flavour::Plain => plain,
            Flavour::Edges if self.once_in(23) => f32::from_bits(self.choose(&EDGES)),
            Flavour::Edges => plain * power(self.below(16) as i32 - 8),
            Flavour::Tiny if self.once_in(2) => plain,
            Flavour::Tiny => plain * power(-64) * power(-(self.below(85) as i32)),
        }
    }

    /// Values of a tensor; integers of any size.
    pub fn values(&mut self, dtype: DType, count: u64, flavour: Flavour) -> Values {
        match dtype {
            DType::F32 => Values::F32((0..count).map(|_| self.float(flavour)).collect()),
            DType::U32 => Values::U32((0..count).map(|_| self.next() as u32).collect()),
            DType::Bf16 => Values::Bf16((0..count).map(|_| self.next() as u16).collect()),
            DType::F16 => Values::F16((0..count).map(|_| self.next() as u16).collect()),
            DType::U8 => Values::U8((0..count).map(|_| self.next() as u8).collect()),
            DType::I64 => Values::I64((0..count).map(|_| (self.next() as i64) >> self.below(64)).collect()),
            DType::Bool => Values::Bool((0..count).map(|_| self.once_in(2)).collect()),
        }
    }

    /// Indices below `limit`.
    pub fn indices(&mut self, count: u64, limit: u32) -> Values {
        Values::U32((0..count).map(|_| self.below(limit)).collect())
    }
}

/// 2^n for −126 ≤ n ≤ 127.
fn power(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}
