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
    /// Instructions so far, and what they are worth, the free ones too.
    instructions: u64,
    worth_ps: u64,
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
            instructions: 0,
            worth_ps: 0,
        }
    }

    pub fn charge(&mut self, op: &'static str, cost: &Cost, price: u64) -> Result<(), Fault> {
        let spent = self.spent.checked_add(price).filter(|&s| s <= self.limit).ok_or(Fault::BudgetExceeded { op })?;
        self.spent = spent;
        self.flops = self.flops.saturating_add(cost.flops);
        self.by_class[cost.class as usize] += price;
        Ok(())
    }

    /// Charges instructions: `count` in the whole run, the new ones worth `each_ps`, beyond what is free in all.
    pub fn instructions(&mut self, count: u64, free_ps: u64, each_ps: u64) -> Result<(), Fault> {
        let new = count.saturating_sub(self.instructions);
        (self.instructions, self.worth_ps) = (count, self.worth_ps.saturating_add(new.saturating_mul(each_ps)));
        let price = self.worth_ps.saturating_sub(free_ps).saturating_sub(self.instructions_ps);
        let spent = self.spent.checked_add(price).filter(|&s| s <= self.limit);
        self.spent = spent.ok_or(Fault::BudgetExceeded { op: "the guest's own computing" })?;
        self.instructions_ps += price;
        Ok(())
    }

    /// Instructions that the rest of the budget allows, in the whole run.
    pub fn affordable(&self, free_ps: u64, each_ps: u64) -> u64 {
        let free = free_ps.saturating_add(self.instructions_ps).saturating_sub(self.worth_ps);
        let more = free.saturating_add(self.limit - self.spent) / each_ps.max(1);
        self.instructions.saturating_add(more)
    }

    pub fn count(&mut self, op: &'static str) -> Result<u64, Fault> {
        if self.ops >= self.max_ops {
            return Err(Fault::CountLimit { op, what: "operations", limit: self.max_ops });
        }
        self.ops += 1;
        Ok(self.ops - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_cost_what_they_are_worth_beyond_what_is_free() {
        let mut ledger = Ledger::new(10_000, 9);
        assert_eq!(ledger.affordable(1_000, 500), 22);
        ledger.instructions(2, 1_000, 500).unwrap();
        assert_eq!((ledger.spent, ledger.affordable(1_000, 500)), (0, 22));
        // Those in far memory use up what is free faster.
        ledger.instructions(3, 1_000, 4_000).unwrap();
        assert_eq!((ledger.spent, ledger.instructions_ps, ledger.affordable(1_000, 500)), (4_000, 4_000, 15));
        ledger.instructions(3, 9_000, 500).unwrap();
        assert_eq!(ledger.spent, 4_000, "what was paid is not given back");
        assert!(matches!(ledger.instructions(30, 1_000, 500), Err(Fault::BudgetExceeded { .. })));
    }
}
