//! The budget, the number of ops and the guest's own instructions: used and allowed.

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
    /// What instructions cost, a part of `spent`.
    pub instructions_ps: u64,
    /// Instructions beyond the free ones that were charged.
    paid: u64,
}

impl Ledger {
    pub fn new(limit: u64, max_ops: u64) -> Self {
        Self {
            spent: 0,
            ops: 0,
            flops: 0,
            by_class: [0; Class::ALL.len()],
            limit,
            max_ops,
            instructions_ps: 0,
            paid: 0,
        }
    }

    pub fn charge(&mut self, op: &'static str, cost: &Cost, price: u64) -> Result<(), Fault> {
        let spent = self.spent.checked_add(price).filter(|&s| s <= self.limit).ok_or(Fault::BudgetExceeded { op })?;
        self.spent = spent;
        self.flops = self.flops.saturating_add(cost.flops);
        self.by_class[cost.class as usize] += price;
        Ok(())
    }

    /// Charges instructions: `count` in the whole run, of which `free` cost nothing, at this price each.
    pub fn instructions(&mut self, count: u64, free: u64, each_ps: u64) -> Result<(), Fault> {
        let beyond = count.saturating_sub(free).max(self.paid);
        let price = (beyond - self.paid).saturating_mul(each_ps);
        let spent = self.spent.checked_add(price).filter(|&s| s <= self.limit);
        self.spent = spent.ok_or(Fault::BudgetExceeded { op: "the guest's own computing" })?;
        self.instructions_ps += price;
        self.paid = beyond;
        Ok(())
    }

    /// Instructions that the rest of the budget allows, in the whole run.
    pub fn affordable(&self, free: u64, each_ps: u64) -> u64 {
        let bought = (self.limit - self.spent) / each_ps.max(1);
        free.saturating_add(self.paid).saturating_add(bought)
    }

    pub fn count(&mut self, op: &'static str) -> Result<u64, Fault> {
        if self.ops >= self.max_ops {
            return Err(Fault::CountLimit { op, what: "operations", limit: self.max_ops });
        }
        self.ops += 1;
        Ok(self.ops - 1)
    }
}
