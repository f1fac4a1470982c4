//! One op, or a part of it, about to run. Imports `index`, `path` and `random`.

use super::index;
use super::path::Path;
use crate::fault::Fault;
use crate::op::Op;

/// The random seed, on which results depend; and the path, on which they do not.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Instructions to use.
    pub path: Path,
    /// Random seed of the experiment.
    pub seed: u64,
}

/// One op, or a part of it, about to run.
pub(super) struct Call<'a> {
    pub machine: &'a Machine,
    /// Index of the record.
    pub index: u64,
    /// Elements of the first output before this part.
    pub start: usize,
    /// Elements of the whole first output.
    pub whole: usize,
}

impl Call<'_> {
    /// Indices that are all below `limit`, or a fault; `first` is the position of the first index among all of the
    /// op's.
    pub(super) fn in_range(&self, op: &Op, indices: &[u32], limit: usize, first: usize) -> Result<(), Fault> {
        match index::out_of_range(indices, limit, first) {
            Some(reason) => Err(Fault::Execution { op: op.name(), index: self.index, reason }),
            None => Ok(()),
        }
    }
}
