//! A night: propose, try, keep, until the policy's bounds or Ctrl-C.
//!
//! ```text
//! roster    threads of the proposers, a turn each ─▶ turn     propose, check, repair; under the caps of the ledger
//!   │ bandit ranks them                                         (the next mutation is written while one trains)
//!   ▼
//! attempt   the store's lock, take up what others did ─▶ contest screening, fresh seeds, confirm ─▶ record
//!   │
//! memory    the past and the three keys;  digest: what it taught;  summary: where it stands and how it ended
//! ```
//!
//! One thread trains and decides everything; the others only write. A mutation that a proposer writes while another one
//! trains knows all trials but that one. With `evolve` alone a night is a function of policy and store all the same: each
//! turn is handed out when the training run before it begins.

mod attempt;
pub mod bandit;
mod baseline;
mod bounds;
mod champion;
mod clock;
mod contest;
pub mod digest;
mod error;
pub mod event;
pub mod ledger;
mod lock;
mod memory;
pub mod picture;
pub mod recorded;
pub mod report;
mod roster;
mod run;
mod runs;
pub mod search;
mod seeds;
mod seen;
pub mod setup;
mod stop;
mod summary;
mod tally;
mod turn;

pub use attempt::Outsider;
pub use bounds::Bounds;
pub use champion::Champion;
pub use contest::{Contest, Judgement};
pub use error::NightError;
pub use memory::baseline_trial;
pub use run::{Night, Plan};
pub use seeds::replica_seeds;
pub use seen::Seen;
pub use stop::Stop;
