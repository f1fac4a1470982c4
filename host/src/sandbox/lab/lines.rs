//! What one training step costs, by line of the guest's source: the line that asked for each op.

use crate::record::dry_run::LineCost;
use std::collections::BTreeMap;

/// Lines that are kept, dearest first.
const KEPT: usize = 24;

/// Picoseconds of the step, and by line and function.
#[derive(Debug, Default)]
pub struct Lines {
    step_ps: u64,
    by_line: BTreeMap<(u32, String), u64>,
}

impl Lines {
    /// Adds a cost to the step, and to a line if it is known.
    pub fn add(&mut self, place: Option<(u32, String)>, ps: u64) {
        self.step_ps = self.step_ps.saturating_add(ps);
        if let Some(place) = place {
            let sum = self.by_line.entry(place).or_default();
            *sum = sum.saturating_add(ps);
        }
    }

    /// What the step costs.
    pub fn step_ps(&self) -> u64 {
        self.step_ps
    }

    /// The dearest lines.
    pub fn dearest(&self) -> Vec<LineCost> {
        let cost = |((line, function), ps): (&(u32, String), &u64)| LineCost {
            line: *line,
            function: function.clone(),
            ps: *ps,
        };
        let mut all: Vec<LineCost> = self.by_line.iter().map(cost).collect();
        all.sort_by(|a, b| b.ps.cmp(&a.ps).then(a.line.cmp(&b.line)));
        all.truncate(KEPT);
        all
    }
}
