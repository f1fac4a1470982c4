//! Sizes and values for tests, the same in every run. SplitMix64 (Steele, Lea & Flood, 2014), so that the generator
//! under test is not the one that tests it.

use super::Array;
use kernels::op::Op;
use kernels::spec::{DType, Shape, Spec, Values};
use std::ops::RangeInclusive;

/// A stream of sizes and values.
pub struct Sample {
    state: u64,
    arrays: u32,
}

impl Sample {
    /// The stream of a number.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, arrays: 0 }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// One of the range.
    pub fn size(&mut self, range: RangeInclusive<u32>) -> u32 {
        let span = u64::from(range.end() - range.start() + 1);
        range.start() + (self.next() % span) as u32
    }

    /// True or false.
    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// Between `rank` sizes, each in 1 ..= `most`.
    pub fn dims(&mut self, rank: RangeInclusive<u32>, most: u32) -> Vec<u32> {
        (0..self.size(rank)).map(|_| self.size(1..=most)).collect()
    }

    /// Values in about ±`reach`, all exact in f32. They lie on a grid that spares 0, and arrays of one sample lie on
    /// grids of their own: no value is so near a kink or another array's value that a difference steps over it.
    pub fn around_zero(&mut self, dims: &[u32], reach: u32) -> Array {
        self.on_grid(dims, -64 * i64::from(reach), 128 * u64::from(reach))
    }

    /// Values in about ¼ ..= 4, for functions that need x > 0.
    pub fn positive(&mut self, dims: &[u32]) -> Array {
        self.on_grid(dims, 16, 240)
    }

    fn on_grid(&mut self, dims: &[u32], least: i64, steps: u64) -> Array {
        self.arrays += 1;
        let shift = f64::from(self.arrays % 15 + 1) / 16.0;
        let dims: Vec<usize> = dims.iter().map(|&size| size as usize).collect();
        Array::from_fn(&dims, |_| ((least + (self.next() % steps) as i64) as f64 + shift) / 64.0)
    }

    /// 0 or 1.
    pub fn mask(&mut self, dims: &[u32]) -> Array {
        self.indices(dims, 2)
    }

    /// Indices below `limit`.
    pub fn indices(&mut self, dims: &[u32], limit: u32) -> Array {
        let dims: Vec<usize> = dims.iter().map(|&size| size as usize).collect();
        Array::from_fn(&dims, |_| (self.next() % u64::from(limit)) as f64)
    }
}

impl Array {
    /// Sizes as the records hold them.
    pub fn shape(&self) -> Shape {
        let dims: Vec<u32> = self.dims.iter().map(|&size| size as u32).collect();
        Shape::new(&dims).expect("a shape")
    }

    /// Elements rounded to f32.
    pub fn f32(&self) -> Values {
        Values::F32(self.data.iter().map(|&x| x as f32).collect())
    }

    /// Elements as integers.
    pub fn u32(&self) -> Values {
        Values::U32(self.data.iter().map(|&x| x as u32).collect())
    }

    /// The same with every element rounded to f32: what an executor was given.
    pub fn rounded(&self) -> Self {
        Self { dims: self.dims.clone(), data: self.data.iter().map(|&x| f64::from(x as f32)).collect() }
    }
}

/// An operand's spec and values, by the place that the op gives it.
pub fn operand(op: &Op, place: usize, array: &Array) -> (Spec, Values) {
    let dtype = match (op, place) {
        (Op::EmbeddingGrad { .. }, 0) => DType::U32,
        (Op::Embedding | Op::CrossEntropy(_) | Op::CrossEntropyGrad(_), 1) => DType::U32,
        (Op::Gather { .. } | Op::ScatterAdd { .. }, 1) | (Op::LinearCrossEntropy { .. }, 2) => DType::U32,
        (Op::Select, 0) => DType::Bool,
        _ => DType::F32,
    };
    let spec = Spec { shape: array.shape(), dtype };
    let values = match dtype {
        DType::U32 => array.u32(),
        DType::Bool => Values::Bool(array.data.iter().map(|&x| x != 0.0).collect()),
        _ => array.f32(),
    };
    (spec, values)
}

/// Checks every element: |got − want| ≤ tolerance·(1 + |want|). NaN meets NaN.
#[track_caller]
pub fn assert_close(got: &Values, want: &Array, tolerance: f64, what: &dyn std::fmt::Debug) {
    let got: Vec<f64> = match got {
        Values::F32(values) => values.iter().map(|&x| f64::from(x)).collect(),
        Values::U32(values) => values.iter().map(|&x| f64::from(x)).collect(),
        Values::Bool(values) => values.iter().map(|&x| f64::from(u8::from(x))).collect(),
        other => panic!("{what:?} gave {:?}", other.dtype()),
    };
    assert_eq!(got.len(), want.data.len(), "{what:?}: number of elements");
    for (at, (&got, &want)) in got.iter().zip(&want.data).enumerate() {
        let near = (got - want).abs() <= tolerance * (1.0 + want.abs());
        let same = got == want || (got.is_nan() && want.is_nan());
        assert!(near || same, "{what:?}: element {at} is {got}, it should be {want}");
    }
}
