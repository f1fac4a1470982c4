//! Scalar operands: their bytes in the canonical encoding, and what they are called where an op is told to others.
//!
//! The encoding never changes: integers little-endian, f32 as its bits, flags, function codes and dtypes as u8, shapes
//! and axis lists as a u8 count and u32 sizes, lists of coefficients as a u32 count and their bits, structs as their
//! fields in order.

use super::functions::{Binary, Compare, Unary};
use crate::spec::{DType, Shape};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A scalar operand of an op.
pub trait Scalar {
    /// Appends its bytes in the canonical encoding.
    fn encode(&self, out: &mut Vec<u8>);
    /// Appends it by `name`; a struct appends its fields by their names.
    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>);
}

/// A scalar operand as other programs are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Attribute {
    /// Yes or no.
    Flag(bool),
    /// An integer.
    Count(u64),
    /// A number, which may be infinite or NaN.
    Real(f32),
    /// A function or a dtype.
    Name(String),
    /// A shape, or axes.
    Sizes(Vec<u32>),
    /// Coefficients, three for each step.
    Steps(Vec<[f32; 3]>),
}

/// Constants of an AdamW step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled: x ← x − lr·weight_decay·x.
    pub weight_decay: f32,
    /// Counted from 1; corrects the moments' bias.
    pub step: u32,
}

/// Which positions each position sees, and the factor of the scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Position i sees no position after itself.
    pub causal: bool,
    /// Position i sees positions nearer than this, itself included; 0 sees any distance.
    pub window: u32,
    /// Factor of the scores.
    pub scale: f32,
}

/// Scalars of a cross-entropy: per row −ln softmax(z)[target] + z_loss·logsumexp(z)², z the capped logits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// z = softcap·tanh(logits/softcap) where above 0, else z = logits.
    pub softcap: f32,
    /// Weight of the squared logsumexp; 0 for none.
    pub z_loss: f32,
}

impl Scalar for u32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        out.push((name, Attribute::Count((*self).into())));
    }
}

impl Scalar for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        out.push((name, Attribute::Count(*self)));
    }
}

impl Scalar for f32 {
    fn encode(&self, out: &mut Vec<u8>) {
        self.to_bits().encode(out);
    }

    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        out.push((name, Attribute::Real(*self)));
    }
}

impl Scalar for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        out.push((name, Attribute::Flag(*self)));
    }
}

impl Scalar for DType {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        out.push((name, Attribute::Name(self.name().into())));
    }
}

macro_rules! functions {
    ($($type:ty),+) => {
        $(impl Scalar for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push(*self as u8);
            }

            fn tell(&self, _name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
                out.push(("function", Attribute::Name(self.name().into())));
            }
        })+
    };
}
functions!(Unary, Binary, Compare);

impl Scalar for Shape {
    fn encode(&self, out: &mut Vec<u8>) {
        sizes(self.dims(), out);
    }

    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        out.push((name, Attribute::Sizes(self.dims().to_vec())));
    }
}

impl Scalar for SmallVec<[u32; 4]> {
    fn encode(&self, out: &mut Vec<u8>) {
        sizes(self, out);
    }

    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        out.push((name, Attribute::Sizes(self.to_vec())));
    }
}

/// At most [`crate::spec::MAX_RANK`] of them, so that their count is a byte.
fn sizes(sizes: &[u32], out: &mut Vec<u8>) {
    out.push(sizes.len() as u8);
    sizes.iter().for_each(|size| size.encode(out));
}

impl Scalar for Vec<[f32; 3]> {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as u32).encode(out);
        self.as_flattened().iter().for_each(|x| x.encode(out));
    }

    fn tell(&self, name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        out.push((name, Attribute::Steps(self.clone())));
    }
}

impl Scalar for AdamW {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { lr, beta1, beta2, eps, weight_decay, step } = self;
        [lr, beta1, beta2, eps, weight_decay].iter().for_each(|x| x.encode(out));
        step.encode(out);
    }

    fn tell(&self, _name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        let Self { lr, beta1, beta2, eps, weight_decay, step } = self;
        lr.tell("lr", out);
        beta1.tell("beta1", out);
        beta2.tell("beta2", out);
        eps.tell("eps", out);
        weight_decay.tell("weight_decay", out);
        step.tell("step", out);
    }
}

impl Scalar for Attention {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { causal, window, scale } = self;
        causal.encode(out);
        window.encode(out);
        scale.encode(out);
    }

    fn tell(&self, _name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        let Self { causal, window, scale } = self;
        causal.tell("causal", out);
        window.tell("window", out);
        scale.tell("scale", out);
    }
}

impl Scalar for Loss {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { softcap, z_loss } = self;
        softcap.encode(out);
        z_loss.encode(out);
    }

    fn tell(&self, _name: &'static str, out: &mut Vec<(&'static str, Attribute)>) {
        let Self { softcap, z_loss } = self;
        softcap.tell("softcap", out);
        z_loss.tell("z_loss", out);
    }
}
