//! The budget and the number of ops, used and allowed.

use crate::cost::{Class, Cost};
use crate::fault::Fault;

/// Budget and counters.
#[derive(Debug)]
pub(super) struct Ledger {
    pub spent: u64,
    pub ops: u64,
    pub flops: u64,
    pub by_class: [u64; Class::ALL.len()],
    /// Budget and overdraft.
    pub limit: u64,
    max_ops: u64,
}

impl Ledger {
    pub fn new(limit: u64, max_ops: u64) -> Self {
        Self { spent: 0, ops: 0, flops: 0, by_class: [0; Class::ALL.len()], limit, max_ops }
    }

    pub fn charge(&mut self, op: &'static str, cost: &Cost, price: u64) -> Result<(), Fault> {
        let spent = self.spent.checked_add(price).filter(|&s| s <= self.limit).ok_or(Fault::BudgetExceeded { op })?;
        self.spent = spent;
        self.flops = self.flops.saturating_add(cost.flops);
        self.by_class[cost.class as usize] += price;
        Ok(())
    }

    pub fn count(&mut self, op: &'static str) -> Result<u64, Fault> {
        if self.ops >= self.max_ops {
            return Err(Fault::CountLimit { op, what: "operations", limit: self.max_ops });
        }
        self.ops += 1;
        Ok(self.ops - 1)
    }
}
