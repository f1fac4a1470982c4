//! The versions of the rules by which the demands of an op are counted. Each has a file.

use super::demand::Cost;
use super::tables::Table;
use super::{rules_1, rules_2};
use crate::fault::Fault;
use crate::op::{Class, Op};
use crate::spec::Spec;
use serde::{Deserialize, Serialize};

/// Version of the rules by which work is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum Rules {
    /// Profiles that name no version.
    #[default]
    One,
    /// Rows, jumps and what lies beyond the cache are priced too.
    Two,
}

/// There is no such version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no version {0} of the price rules; this program knows 1 and 2")]
pub struct NoSuchRules(pub u32);

impl TryFrom<u32> for Rules {
    type Error = NoSuchRules;

    fn try_from(version: u32) -> Result<Self, NoSuchRules> {
        match version {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            other => Err(NoSuchRules(other)),
        }
    }
}

impl From<Rules> for u32 {
    fn from(rules: Rules) -> u32 {
        match rules {
            Rules::One => 1,
            Rules::Two => 2,
        }
    }
}

impl Rules {
    /// The demands of an op on inputs for which [`crate::infer::infer`] gave these outputs.
    pub fn cost(self, op: &Op, inputs: &[&Spec], outputs: &[Spec]) -> Result<Cost, Fault> {
        match self {
            Self::One => rules_1::cost(op, inputs, outputs),
            Self::Two => rules_2::cost(op, inputs, outputs),
        }
    }

    /// The table that an op reads beside its operands, which is made where none is kept.
    pub fn table(self, op: &Op, inputs: &[&Spec]) -> Option<Table> {
        match self {
            Self::One => None,
            Self::Two => rules_2::table(op, inputs),
        }
    }

    /// A copy of `bytes` between device and guest or host: the price of reading and logging.
    pub fn transfer(self, bytes: u64) -> Cost {
        let work = match self {
            Self::One => 0,
            Self::Two => rules_2::transfer(bytes),
        };
        Cost { class: Class::Copy, flops: 0, work, bytes, jumps: 0, span: 0 }
    }
}
