//! Operands and how their sizes are drawn.

use super::{Draft, shape};
use crate::sample::{Flavour, Sample};
use kernels::op::Op;
use kernels::spec::{DType, Spec, Values};

/// How large operands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A few elements.
    Least,
    /// Around the widths of vectors and tiles: mostly one more or one less.
    Odd,
    /// Enough work for several threads.
    Large,
}

/// What an operand holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Values(DType),
    /// Floats that are not negative.
    Magnitudes,
    /// Indices below the limit.
    Indices(u32),
}

/// An operand without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    dims: Vec<u32>,
    kind: Kind,
}

impl Operand {
    /// Floats.
    pub fn floats(dims: &[u32]) -> Self {
        Self { dims: dims.to_vec(), kind: Kind::Values(DType::F32) }
    }

    /// Values of a type.
    pub fn values(dims: &[u32], dtype: DType) -> Self {
        Self { dims: dims.to_vec(), kind: Kind::Values(dtype) }
    }

    /// Floats that are not negative.
    pub fn magnitudes(dims: &[u32]) -> Self {
        Self { dims: dims.to_vec(), kind: Kind::Magnitudes }
    }

    /// Indices below `limit`.
    pub fn indices(dims: &[u32], limit: u32) -> Self {
        Self { dims: dims.to_vec(), kind: Kind::Indices(limit) }
    }

    /// Whether it holds floats.
    pub fn is_float(&self) -> bool {
        self.kind == Kind::Values(DType::F32)
    }

    /// The same, holding values of another type in place of floats.
    pub fn with_dtype(&self, dtype: DType) -> Self {
        let kind = if self.is_float() { Kind::Values(dtype) } else { self.kind };
        Self { dims: self.dims.clone(), kind }
    }

    /// Its spec.
    pub fn spec(&self) -> Spec {
        let dtype = match self.kind {
            Kind::Values(dtype) => dtype,
            Kind::Magnitudes => DType::F32,
            Kind::Indices(_) => DType::U32,
        };
        Spec { shape: shape(&self.dims), dtype }
    }

    /// Its spec and values.
    pub fn fill(&self, sample: &mut Sample, flavour: Flavour) -> (Spec, Values) {
        let spec = self.spec();
        let count = spec.shape.elements();
        let values = match self.kind {
            Kind::Values(dtype) => sample.values(dtype, count, flavour),
            Kind::Magnitudes => match sample.values(DType::F32, count, flavour) {
                Values::F32(values) => Values::F32(values.into_iter().map(f32::abs).collect()),
                other => other,
            },
            Kind::Indices(limit) => sample.indices(count, limit),
        };
        (spec, values)
    }
}

/// Sizes of one scale, and the drafts that were made with them.
#[derive(Debug)]
pub struct Draw {
    pub sample: Sample,
    scale: Scale,
    pub drafts: Vec<Draft>,
}

impl Draw {
    /// Nothing yet.
    pub fn new(seed: u64, scale: Scale) -> Self {
        Self { sample: Sample::new(seed), scale, drafts: Vec::new() }
    }

    /// Adds an op with its operands.
    pub fn put(&mut self, op: Op, operands: &[Operand]) {
        self.drafts.push(Draft { op, operands: operands.to_vec(), data: None });
    }

    /// Adds an op whose values come with the record.
    pub fn put_data(&mut self, op: Op, dtype: DType, count: u64) {
        self.drafts.push(Draft { op, operands: Vec::new(), data: Some((dtype, count)) });
    }

    /// One of the sizes that suit the scale.
    pub fn size(&mut self, least: &[u32], odd: &[u32], large: &[u32]) -> u32 {
        self.sample.choose(match self.scale {
            Scale::Least => least,
            Scale::Odd => odd,
            Scale::Large => large,
        })
    }

    /// Sizes of a tensor of three axes.
    pub fn three(&mut self) -> [u32; 3] {
        [
            self.size(&[1, 2], &[1, 2, 3, 5], &[3, 4]),
            self.size(&[1, 2], &[3, 7, 9, 13], &[131, 149]),
            self.size(&[2, 3], &[1, 15, 17, 31, 33, 65], &[255, 257]),
        ]
    }

    /// Sizes m, n and k of a product.
    pub fn product(&mut self) -> [u32; 3] {
        [
            self.size(&[1, 2, 3], &[1, 5, 6, 7, 13, 17, 37], &[97, 131, 203]),
            self.size(&[1, 2, 3], &[1, 8, 15, 16, 17, 31, 33, 49], &[65, 95, 129]),
            self.size(&[1, 2, 3], &[1, 2, 7, 16, 31, 255, 256, 257, 300], &[300, 513]),
        ]
    }
}
