//! Who proposes, and what it may cost. Start with `roster`, where each proposer has a thread; `turn` is what happens
//! there: propose, check, repair. `bandit` ranks the proposers, `ledger` holds the caps, `digest` keeps lessons in
//! words.

pub mod bandit;
pub mod digest;
pub mod ledger;
pub(super) mod roster;
pub(super) mod turn;
