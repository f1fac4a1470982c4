//! What one training step costs, by line of the guest's source: the line that asked for each op.

use crate::record::dry_run::LineCost;
use std::collections::BTreeMap;

/// Lines that are kept, dearest first.
const KEPT: usize = 24;

/// Picoseconds by line and function.
#[derive(Debug, Default)]
pub struct Lines(BTreeMap<(u32, String), u64>);

impl Lines {
    /// Adds a cost to a line.
    pub fn add(&mut self, line: u32, function: String, ps: u64) {
        let sum = self.0.entry((line, function)).or_default();
        *sum = sum.saturating_add(ps);
    }

    /// The dearest lines.
    pub fn dearest(&self) -> Vec<LineCost> {
        let cost = |((line, function), ps): (&(u32, String), &u64)| LineCost {
            line: *line,
            function: function.clone(),
            ps: *ps,
        };
        let mut all: Vec<LineCost> = self.0.iter().map(cost).collect();
        all.sort_by(|a, b| b.ps.cmp(&a.ps).then(a.line.cmp(&b.line)));
        all.truncate(KEPT);
        all
    }
}
