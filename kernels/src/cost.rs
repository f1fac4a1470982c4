//! What an op costs on the reference device: integers from shapes and dtypes alone. Depends on `op` and `spec`.
//!
//! Price = max(⌈work / rate⌉, ⌈bytes / bandwidth⌉) + overhead in picoseconds, saturating; more elements never cost less.

use crate::op::{Op, Unary};
use crate::spec::Spec;
use serde::{Deserialize, Serialize};

/// Kind of op with speeds of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Class {
    /// Attention and its gradient.
    Attention = 0,
    /// Moves values, or only renames them (reshape).
    Copy = 1,
    /// One output element per input element.
    Elementwise = 2,
    /// Rows picked or added by index.
    Gather = 3,
    /// Cross-entropy and softmax.
    Loss = 4,
    /// RMS norm and rotary embedding.
    Norm = 5,
    /// In-place updates.
    Optimizer = 6,
    /// A matrix product beyond its first [`SMALL_PRODUCT`] operations.
    Product = 7,
    /// A matrix product's first [`SMALL_PRODUCT`] operations.
    ProductSmall = 8,
    /// Random numbers.
    Random = 9,
    /// Sums and means.
    Reduction = 10,
}

impl Class {
    /// Every class, in order of name.
    pub const ALL: [Class; 11] = [
        Class::Attention,
        Class::Copy,
        Class::Elementwise,
        Class::Gather,
        Class::Loss,
        Class::Norm,
        Class::Optimizer,
        Class::Product,
        Class::ProductSmall,
        Class::Random,
        Class::Reduction,
    ];

    /// Its name in profiles and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Attention => "attention",
            Class::Copy => "copy",
            Class::Elementwise => "elementwise",
            Class::Gather => "gather",
            Class::Loss => "loss",
            Class::Norm => "norm",
            Class::Optimizer => "optimizer",
            Class::Product => "product",
            Class::ProductSmall => "product-small",
            Class::Random => "random",
            Class::Reduction => "reduction",
        }
    }
}

/// Floating-point operations of a product that run at the rate of [`Class::ProductSmall`]: packing and splitting over
/// threads pay only later. A bracket, as in taxes, so that a larger product never costs less.
pub const SMALL_PRODUCT: u64 = 1 << 22;

/// Rows and columns of a product are computed in whole tiles of this size, which is what makes thin products dear.
pub const TILE: u64 = 8;

/// A reference device's speed: what defines budget time. All integers. Stored as TOML under `policies/profiles/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name, as in the file's.
    pub name: String,
    /// Rates by class of op, see `Class`.
    pub classes: Vec<Rate>,
}

/// Speed of one class of op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Class name.
    pub class: String,
    /// Megaflops per second.
    pub mflops: u64,
    /// Bytes per microsecond.
    pub bytes_per_us: u64,
    /// Picoseconds per op.
    pub overhead_ps: u64,
}

/// Why a profile prices nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message says what its fields are")]
pub enum ProfileError {
    /// A class has no rates.
    #[error("profile {profile}: class {class} is missing; add a [[classes]] table for it")]
    Missing {
        profile: String,
        class: &'static str,
    },
    /// A class that does not exist, or stands twice.
    #[error("profile {profile}: class {class} is unknown or stands twice; remove it")]
    Extra { profile: String, class: String },
    /// A number that must be above 0.
    #[error("profile {profile}: class {class} has a zero; every number must be at least 1")]
    Zero {
        profile: String,
        class: &'static str,
    },
}

impl Profile {
    /// Every class is there once, nothing else is, and no number is zero.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let profile = || self.name.clone();
        for class in Class::ALL {
            let rate = self.rate(class).ok_or_else(|| ProfileError::Missing {
                profile: profile(),
                class: class.name(),
            })?;
            if rate.mflops == 0 || rate.bytes_per_us == 0 || rate.overhead_ps == 0 {
                return Err(ProfileError::Zero {
                    profile: profile(),
                    class: class.name(),
                });
            }
        }
        for (i, rate) in self.classes.iter().enumerate() {
            let known = Class::ALL.iter().any(|c| c.name() == rate.class);
            if !known || self.classes[..i].iter().any(|r| r.class == rate.class) {
                return Err(ProfileError::Extra {
                    profile: profile(),
                    class: rate.class.clone(),
                });
            }
        }
        Ok(())
    }

    /// What hashing the profile hashes: per class in order of name, the name's length (u8) and bytes, then megaflops
    /// per second, bytes per microsecond and overhead (u64, little-endian). The profile's own name stays out: it
    /// changes no price.
    pub fn canonical(&self) -> Vec<u8> {
        let mut rates: Vec<&Rate> = self.classes.iter().collect();
        rates.sort_by(|a, b| a.class.cmp(&b.class));
        let mut bytes = Vec::new();
        for rate in rates {
            bytes.push(rate.class.len() as u8);
            bytes.extend_from_slice(rate.class.as_bytes());
            for n in [rate.mflops, rate.bytes_per_us, rate.overhead_ps] {
                bytes.extend_from_slice(&n.to_le_bytes());
            }
        }
        bytes
    }

    /// blake3 of [`Profile::canonical`], keyed to this use.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("lab 2026 profile v1", &self.canonical())
    }

    fn rate(&self, class: Class) -> Option<&Rate> {
        self.classes.iter().find(|r| r.class == class.name())
    }
}

/// A profile made ready for pricing.
#[derive(Clone, Debug)]
pub struct Prices([Option<Rate>; Class::ALL.len()]);

impl Prices {
    /// Takes the profile's rates. What lacks a rate has no finite price: [`Profile::validate`] finds that before.
    pub fn new(profile: &Profile) -> Self {
        Self(Class::ALL.map(|class| profile.rate(class).cloned()))
    }

    /// Price in picoseconds.
    pub fn price(&self, cost: &Cost) -> u64 {
        let small = cost.work.min(SMALL_PRODUCT);
        match cost.class {
            Class::Product => {
                let rest = self.time(Class::Product, cost.work - small);
                let compute = self.time(Class::ProductSmall, small).saturating_add(rest);
                compute
                    .max(self.transfer(Class::Product, cost.bytes))
                    .saturating_add(self.overhead(Class::Product))
            }
            class => {
                let busy = self
                    .time(class, cost.work)
                    .max(self.transfer(class, cost.bytes));
                busy.saturating_add(self.overhead(class))
            }
        }
    }

    fn time(&self, class: Class, work: u64) -> u64 {
        self.quotient(class, work, |r| r.mflops)
    }

    fn transfer(&self, class: Class, bytes: u64) -> u64 {
        self.quotient(class, bytes, |r| r.bytes_per_us)
    }

    /// Units per microsecond against picoseconds: 10⁶ to one.
    fn quotient(&self, class: Class, units: u64, per_us: impl Fn(&Rate) -> u64) -> u64 {
        let divisor = self.0[class as usize].as_ref().map_or(0, per_us);
        if divisor == 0 {
            return u64::MAX;
        }
        let ps = (u128::from(units) * 1_000_000).div_ceil(u128::from(divisor));
        u64::try_from(ps).unwrap_or(u64::MAX)
    }

    fn overhead(&self, class: Class) -> u64 {
        self.0[class as usize]
            .as_ref()
            .map_or(u64::MAX, |r| r.overhead_ps)
    }
}

/// What an op demands of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Whose rates apply.
    pub class: Class,
    /// Floating-point operations, for reports: a product of m×k and k×n has 2·m·k·n.
    pub flops: u64,
    /// Operations that are priced: `flops` with whole tiles in products, weighted for transcendental functions.
    pub work: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

/// The demands of an op on inputs for which [`crate::infer::infer`] gave these outputs.
pub fn cost(op: &Op, inputs: &[&Spec], outputs: &[Spec]) -> Cost {
    let read = inputs.iter().fold(0u64, |n, s| n.saturating_add(s.bytes()));
    let made = outputs
        .iter()
        .fold(0u64, |n, s| n.saturating_add(s.bytes()));
    let written = op
        .written()
        .iter()
        .filter_map(|&i| inputs.get(i))
        .fold(made, |n, s| n.saturating_add(s.bytes()));
    let bytes = read.saturating_add(written);
    let first = inputs.first().map_or(0, |s| s.shape.elements());
    let out = outputs.first().map_or(first, |s| s.shape.elements());
    let per = |class, count: u64, each: u64| {
        let flops = count.saturating_mul(each);
        Cost {
            class,
            flops,
            work: flops,
            bytes,
        }
    };
    match op {
        Op::Full { .. } | Op::Arange { .. } | Op::Constant { .. } | Op::NextBatch { .. } => {
            per(Class::Copy, out, 0)
        }
        Op::Reshape { .. } => Cost {
            bytes: 0,
            ..per(Class::Copy, out, 0)
        },
        Op::Permute { .. } | Op::Cat { .. } | Op::Expand { .. } | Op::Pad { .. } | Op::Copy => {
            per(Class::Copy, out, 0)
        }
        Op::Narrow { .. } => Cost {
            bytes: made.saturating_mul(2),
            ..per(Class::Copy, out, 0)
        },
        Op::Uniform { .. } => per(Class::Random, out, 10),
        Op::Normal { .. } => per(Class::Random, out, 30),
        Op::Unary(f) => per(Class::Elementwise, out, weight(*f)),
        Op::UnaryGrad(f) => per(Class::Elementwise, out, weight(*f) + 2),
        Op::Binary(_) | Op::ChosenGrad(_) => per(Class::Elementwise, out, 1),
        Op::Affine { .. } => per(Class::Elementwise, out, 2),
        Op::Softcap { .. } => per(Class::Elementwise, out, weight(Unary::Tanh) + 2),
        Op::SoftcapGrad { .. } => per(Class::Elementwise, out, 4),
        Op::Sum { .. } | Op::Mean { .. } | Op::SumTo { .. } => per(Class::Reduction, first, 1),
        Op::Softmax => per(Class::Loss, out, 14),
        Op::SoftmaxGrad => per(Class::Loss, out, 4),
        Op::MatMul { transpose_a, .. } => product(inputs, out, *transpose_a, bytes),
        Op::Embedding => Cost {
            bytes: gathered(inputs.get(1), made),
            ..per(Class::Gather, out, 0)
        },
        Op::EmbeddingGrad { .. } => per(
            Class::Gather,
            inputs.get(1).map_or(0, |dy| dy.shape.elements()),
            1,
        ),
        Op::RmsNorm { .. } => per(Class::Norm, out, 4),
        Op::RmsNormGrad { .. } => per(Class::Norm, out, 9),
        Op::Rope { .. } => per(Class::Norm, out, 6),
        Op::Attention { window, .. } => attention(inputs, *window, 2, bytes),
        Op::AttentionGrad { window, .. } => attention(inputs, *window, 5, bytes),
        Op::CrossEntropy { softcap } => {
            per(Class::Loss, first, if *softcap > 0.0 { 30 } else { 14 })
        }
        Op::CrossEntropyGrad { softcap } => {
            per(Class::Loss, first, if *softcap > 0.0 { 32 } else { 14 })
        }
        Op::NewtonSchulz { steps } => newton_schulz(inputs, *steps, bytes),
        Op::Assign => per(Class::Optimizer, first, 0),
        Op::Blend { .. } => per(Class::Optimizer, first, 3),
        Op::AdamW(_) => per(Class::Optimizer, first, 16),
    }
}

/// A copy of `bytes` between device and guest or host: what reading and logging are charged.
pub fn transfer(bytes: u64) -> Cost {
    Cost {
        class: Class::Copy,
        flops: 0,
        work: 0,
        bytes,
    }
}

/// Operations per element, from the lengths of the polynomials.
fn weight(f: Unary) -> u64 {
    match f {
        Unary::Neg | Unary::Square | Unary::Abs | Unary::Relu => 1,
        Unary::ReluSquared => 2,
        Unary::Sqrt | Unary::Rsqrt => 6,
        Unary::Exp | Unary::Log => 12,
        Unary::Sigmoid | Unary::Silu => 15,
        Unary::Sin | Unary::Cos | Unary::Tanh => 16,
        Unary::Gelu => 22,
    }
}

fn product(inputs: &[&Spec], out: u64, transpose_a: bool, bytes: u64) -> Cost {
    let (rows, inner) = last_two(inputs.first());
    let (rows, inner) = if transpose_a {
        (inner, rows)
    } else {
        (rows, inner)
    };
    let lead = inputs.first().map_or(1, |a| a.shape.elements()) / (rows * inner).max(1);
    let columns = out / (rows * lead).max(1);
    // A shared second operand makes one product of all leading indices.
    let shared = inputs.get(1).is_some_and(|b| b.shape.rank() == 2);
    let (lead, rows) = if shared {
        (1, rows * lead)
    } else {
        (lead, rows)
    };
    let flops = [rows, columns, lead]
        .iter()
        .fold(inner.saturating_mul(2), |n, &d| n.saturating_mul(d));
    let tiles = [
        rows.next_multiple_of(TILE),
        columns.next_multiple_of(TILE),
        lead,
    ];
    let work = tiles
        .iter()
        .fold(inner.saturating_mul(2), |n, &d| n.saturating_mul(d));
    Cost {
        class: Class::Product,
        flops,
        work,
        bytes,
    }
}

/// `products` products of d operations over each pair of positions that see each other, and the softmax.
fn attention(inputs: &[&Spec], window: u32, products: u64, bytes: u64) -> Cost {
    let dims = inputs.first().map_or(&[] as &[u32], |q| q.shape.dims());
    let &[batch, time, heads, dim] = dims else {
        return Cost {
            class: Class::Attention,
            flops: 0,
            work: 0,
            bytes,
        };
    };
    let (time, seen) = (
        u64::from(time),
        u64::from(if window == 0 { time } else { window.min(time) }),
    );
    // The first `seen` positions see 1, 2, … seen; the others `seen` each.
    let pairs = seen * (seen + 1) / 2 + (time - seen) * seen;
    let maps = (u64::from(batch) * u64::from(heads)).saturating_mul(pairs);
    let flops = maps.saturating_mul(2 * products * u64::from(dim) + 14);
    Cost {
        class: Class::Attention,
        flops,
        work: flops,
        bytes,
    }
}

/// Per step: A = x xᵀ, A², and the product with x, over the shorter side.
fn newton_schulz(inputs: &[&Spec], steps: u32, bytes: u64) -> Cost {
    let (rows, columns) = last_two(inputs.first());
    let lead = inputs.first().map_or(1, |x| x.shape.elements()) / (rows * columns).max(1);
    let count = |short: u64, long: u64| {
        let square = short.saturating_mul(short).saturating_mul(2);
        let step = square
            .saturating_mul(long)
            .saturating_mul(2)
            .saturating_add(square.saturating_mul(short));
        step.saturating_mul(u64::from(steps)).saturating_mul(lead)
    };
    let (short, long) = (rows.min(columns), rows.max(columns));
    let work = count(short.next_multiple_of(TILE), long.next_multiple_of(TILE));
    let passes = bytes.saturating_mul(u64::from(steps).max(1));
    Cost {
        class: Class::Product,
        flops: count(short, long),
        work,
        bytes: passes,
    }
}

/// Rows picked from a table: the rows are read and written, the indices read; the rest of the table is not touched.
fn gathered(indices: Option<&&Spec>, made: u64) -> u64 {
    made.saturating_mul(2)
        .saturating_add(indices.map_or(0, |s| s.bytes()))
}

fn last_two(spec: Option<&&Spec>) -> (u64, u64) {
    match spec.map_or(&[] as &[u32], |s| s.shape.dims()) {
        [.., rows, columns] => (u64::from(*rows), u64::from(*columns)),
        _ => (1, 1),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::infer::infer;
    use crate::op::{AdamW, Binary};
    use crate::spec::Shape;
    use proptest::prelude::*;

    /// Round numbers, so that goldens can be checked by hand.
    pub(crate) fn profile() -> Profile {
        let rate = |class: Class| Rate {
            class: class.name().to_owned(),
            mflops: if class == Class::Product {
                100_000
            } else {
                10_000
            },
            bytes_per_us: 20_000,
            overhead_ps: 1_000_000,
        };
        Profile {
            name: "test".to_owned(),
            classes: Class::ALL.map(rate).to_vec(),
        }
    }

    fn f(dims: &[u32]) -> Spec {
        Spec::f32(Shape::new(dims).unwrap())
    }

    fn u(dims: &[u32]) -> Spec {
        Spec::u32(Shape::new(dims).unwrap())
    }

    fn demand(op: &Op, inputs: &[Spec]) -> Cost {
        let inputs: Vec<&Spec> = inputs.iter().collect();
        cost(op, &inputs, &infer(op, &inputs).unwrap())
    }

    const ADAMW: AdamW = AdamW {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.9,
        eps: 0.0,
        weight_decay: 0.0,
        step: 1,
    };

    #[test]
    fn golden_costs() {
        let s = |dims: &[u32]| Shape::new(dims).unwrap();
        let matmul = Op::MatMul {
            transpose_a: false,
            transpose_b: false,
        };
        let cases: [(Op, Vec<Spec>, Class, u64, u64, u64); 18] = [
            (
                Op::Full {
                    shape: s(&[10]),
                    value: 1.0,
                },
                vec![],
                Class::Copy,
                0,
                0,
                40,
            ),
            (
                Op::Reshape { shape: s(&[10]) },
                vec![f(&[2, 5])],
                Class::Copy,
                0,
                0,
                0,
            ),
            (
                Op::Narrow {
                    axis: 0,
                    start: 0,
                    len: 3,
                },
                vec![f(&[9])],
                Class::Copy,
                0,
                0,
                24,
            ),
            (
                Op::Uniform {
                    shape: s(&[8]),
                    low: 0.0,
                    high: 1.0,
                    stream: 0,
                    position: 0,
                },
                vec![],
                Class::Random,
                80,
                80,
                32,
            ),
            (
                Op::Unary(Unary::Exp),
                vec![f(&[100])],
                Class::Elementwise,
                1200,
                1200,
                800,
            ),
            (
                Op::Binary(Binary::Add),
                vec![f(&[4, 5]), f(&[5])],
                Class::Elementwise,
                20,
                20,
                180,
            ),
            (
                Op::Sum {
                    axes: [0].into_iter().collect(),
                    keep: false,
                },
                vec![f(&[4, 5])],
                Class::Reduction,
                20,
                20,
                100,
            ),
            (
                matmul.clone(),
                vec![f(&[4, 3]), f(&[3, 16])],
                Class::Product,
                384,
                768,
                4 * (12 + 48 + 64),
            ),
            (
                matmul.clone(),
                vec![f(&[2, 4, 3]), f(&[3, 16])],
                Class::Product,
                768,
                768,
                4 * (24 + 48 + 128),
            ),
            (
                matmul,
                vec![f(&[2, 4, 3]), f(&[2, 3, 16])],
                Class::Product,
                768,
                1536,
                4 * (24 + 96 + 128),
            ),
            (
                Op::Embedding,
                vec![f(&[999, 4]), u(&[3])],
                Class::Gather,
                0,
                0,
                12 + 2 * 48,
            ),
            (
                Op::EmbeddingGrad { rows: 10 },
                vec![u(&[3]), f(&[3, 4])],
                Class::Gather,
                12,
                12,
                12 + 48 + 160,
            ),
            (
                Op::RmsNorm { eps: 0.0 },
                vec![f(&[2, 8])],
                Class::Norm,
                64,
                64,
                128,
            ),
            (
                Op::Attention {
                    window: 0,
                    scale: 1.0,
                },
                vec![f(&[1, 4, 2, 8]); 3],
                Class::Attention,
                20 * 46,
                920,
                1056,
            ),
            (
                Op::Attention {
                    window: 2,
                    scale: 1.0,
                },
                vec![f(&[1, 4, 2, 8]); 3],
                Class::Attention,
                14 * 46,
                644,
                1056,
            ),
            (
                Op::CrossEntropy { softcap: 0.0 },
                vec![f(&[2, 8]), u(&[2])],
                Class::Loss,
                224,
                224,
                64 + 8 + 4 + 8,
            ),
            (
                Op::NewtonSchulz { steps: 5 },
                vec![f(&[8, 16])],
                Class::Product,
                25600,
                25600,
                5 * 1024,
            ),
            (
                Op::AdamW(ADAMW),
                vec![f(&[10]); 4],
                Class::Optimizer,
                160,
                160,
                280,
            ),
        ];
        for (op, inputs, class, flops, work, bytes) in cases {
            assert_eq!(
                demand(&op, &inputs),
                Cost {
                    class,
                    flops,
                    work,
                    bytes
                },
                "{}",
                op.name()
            );
        }
    }

    #[test]
    fn prices_round_up_and_take_the_slower_of_work_and_bytes() {
        let prices = Prices::new(&profile());
        let demand = |class, work, bytes| {
            prices.price(&Cost {
                class,
                flops: 0,
                work,
                bytes,
            })
        };
        assert_eq!(demand(Class::Elementwise, 1, 0), 1_000_000 + 100);
        assert_eq!(demand(Class::Elementwise, 1, 3), 1_000_000 + 150);
        assert_eq!(
            demand(Class::Product, SMALL_PRODUCT, 0),
            1_000_000 + 419_430_400
        );
        assert_eq!(
            demand(Class::Product, SMALL_PRODUCT + 1000, 0),
            1_000_000 + 419_430_400 + 10_000
        );
        assert_eq!(demand(Class::Copy, 0, u64::MAX), u64::MAX);
        assert_eq!(demand(Class::Copy, u64::MAX, 0), u64::MAX);
    }

    #[test]
    fn a_profile_has_every_class_once_and_no_zero() {
        assert_eq!(profile().validate(), Ok(()));
        let mut missing = profile();
        missing.classes.pop();
        assert!(matches!(
            missing.validate(),
            Err(ProfileError::Missing {
                class: "reduction",
                ..
            })
        ));
        let mut twice = profile();
        twice.classes.push(twice.classes[0].clone());
        assert!(matches!(twice.validate(), Err(ProfileError::Extra { .. })));
        let mut zero = profile();
        zero.classes[3].mflops = 0;
        assert!(matches!(
            zero.validate(),
            Err(ProfileError::Zero {
                class: "gather",
                ..
            })
        ));
    }

    #[test]
    fn the_hash_is_of_the_rates_alone() {
        let mut other = profile();
        other.name = "other".to_owned();
        other.classes.reverse();
        assert_eq!(other.hash(), profile().hash());
        other.classes[0].overhead_ps += 1;
        assert_ne!(other.hash(), profile().hash());
        assert_eq!(
            blake3::Hash::from(profile().hash()).to_string(),
            "3805e33ecdeccc67d5a07f4f763e81dd5f193393d8ea1c03a498ff9acf93234d"
        );
    }

    #[test]
    fn classes_are_in_order_of_name() {
        assert!(Class::ALL.is_sorted_by_key(|c| c.name()));
        assert!(Class::ALL.iter().enumerate().all(|(i, &c)| c as usize == i));
    }

    proptest! {
        #[test]
        fn larger_products_never_cost_less(m in 1u32..200, k in 1u32..200, n in 1u32..200, b in 1u32..4, grow in 0usize..4) {
            let price = |[m, k, n, b]: [u32; 4], shared: bool| {
                let op = Op::MatMul { transpose_a: false, transpose_b: true };
                let right = if shared { f(&[n, k]) } else { f(&[b, n, k]) };
                Prices::new(&profile()).price(&demand(&op, &[f(&[b, m, k]), right]))
            };
            let sizes = [m, k, n, b];
            let mut larger = sizes;
            larger[grow] += 1;
            prop_assert!(price(larger, true) >= price(sizes, true));
            prop_assert!(price(larger, false) >= price(sizes, false));
        }

        #[test]
        fn more_elements_never_cost_less(a in 1u32..40, b in 1u32..40, which in 0usize..9, grow in 0usize..2) {
            let price = |[a, b]: [u32; 2]| {
                let x = f(&[a, b]);
                let heads = f(&[a, b, 2, 4]);
                let (op, inputs) = match which {
                    0 => (Op::Unary(Unary::Gelu), vec![x]),
                    1 => (Op::Binary(Binary::Mul), vec![x, f(&[b])]),
                    2 => (Op::Mean { axes: [1].into_iter().collect(), keep: true }, vec![x]),
                    3 => (Op::Softmax, vec![x]),
                    4 => (Op::NewtonSchulz { steps: 3 }, vec![x]),
                    5 => (Op::Attention { window: 7, scale: 1.0 }, vec![heads; 3]),
                    6 => (Op::CrossEntropy { softcap: 1.0 }, vec![x, u(&[a])]),
                    7 => (Op::Permute { axes: [1, 0].into_iter().collect() }, vec![x]),
                    _ => (Op::Blend { keep: 1.0, scale: 1.0 }, vec![x.clone(), x]),
                };
                Prices::new(&profile()).price(&demand(&op, &inputs))
            };
            let mut larger = [a, b];
            larger[grow] += 1;
            prop_assert!(price(larger) >= price([a, b]));
        }
    }
}
