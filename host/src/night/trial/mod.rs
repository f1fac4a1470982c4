//! One trial: a mutation is judged against the champion and recorded. May import `experiment` and `record`; a contest
//! knows no proposer. Start with `attempt`, which holds the lock, and `contest`, which has the steps of judging;
//! `baseline` measures what nights start from, `replicas` and `runs` train, `seeds` draws random seeds, `seen` finds
//! repeats.

mod attempt;
pub(super) mod baseline;
pub(super) mod champion;
pub(super) mod contest;
pub(super) mod recheck;
pub mod replicas;
pub(super) mod rung;
pub(super) mod runs;
pub(super) mod seeds;
pub(super) mod seen;

pub use attempt::Outsider;
pub use champion::Champion;
pub use contest::{Contest, Depth, Judgement};
pub use rung::Rung;
pub use seeds::replica_seeds;
pub use seen::{RepeatKey, Seen};
