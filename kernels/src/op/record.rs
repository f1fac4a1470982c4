//! An op with the tensors that it reads and makes.

use super::table::Op;
use crate::spec::Values;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Names a tensor within one session: counted from 0 in order of creation, so that ids are the same in every run of
/// the same op stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TensorId(pub u64);

/// One op with what it reads and writes. In-place ops write some of their inputs ([`Op::written`]) and have no outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What to do.
    pub op: Op,
    /// What it reads.
    pub inputs: SmallVec<[TensorId; 4]>,
    /// What it makes.
    pub outputs: SmallVec<[TensorId; 2]>,
    /// Values that come from outside: [`Op::Constant`] and [`Op::NextBatch`].
    pub data: Option<Arc<Values>>,
}
