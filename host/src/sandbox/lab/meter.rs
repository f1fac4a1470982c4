//! The guest's own instructions, counted as fuel.

/// Fuel of a run: what was used, and what the guest holds now.
#[derive(Debug)]
pub struct Meter {
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) held: u64,
    /// The guest holds less than the limit leaves, because its budget pays for no more.
    pub(super) by_budget: bool,
}

impl Meter {
    /// Nothing used of `limit`.
    pub fn new(limit: u64) -> Self {
        Self { limit, used: 0, held: 0, by_budget: false }
    }

    /// Fuel used so far, if the guest has this much left of what it holds.
    pub fn used(&self, left: u64) -> u64 {
        self.used + self.held.saturating_sub(left)
    }

    /// Whether the guest would run out of its budget before it runs out of its limit.
    pub fn is_by_budget(&self) -> bool {
        self.by_budget
    }
}
