//! A night: propose, try and keep mutations until a bound or Ctrl-C ends it. May import all but `mcp` and `cli`.
//!
//! ```text
//! roster    a thread for each proposer, a turn at a time ─▶ turn     propose, check, repair; the ledger holds the caps
//!   │ the bandit ranks the proposers                        (the next mutation is written while one trains)
//!   ▼
//! attempt   lock the store, read new trials ─▶ contest  screening, fresh seeds, confirm split ─▶ record
//! memory    the past and the three keys;  digest: lessons in words;  summary: standing and end of the night
//! ```
//!
//! Start with `run`. Beside the files above: `baseline`, `champion`, `seeds` and `runs` serve a contest; `tally`,
//! `bounds` and `ledger` count; `resume` takes up what is in the store; `lock`, `rest` and `stop` wait and end; `event`
//! and `progress` are for watchers, `report` and `picture` for the morning; `setup` opens everything, `past` a night.
//!
//! One thread trains and makes all decisions. The other threads only write proposals. A proposer that writes while a
//! mutation trains knows all trials except that one. With `evolve` alone, a night is a function of policy and store:
//! each turn is given when the training run before it begins.

mod attempt;
pub mod bandit;
mod baseline;
mod bounds;
mod champion;
mod contest;
pub mod digest;
mod error;
pub mod event;
pub mod ledger;
mod lock;
mod memory;
pub mod past;
pub mod picture;
mod progress;
pub mod recorded;
pub mod report;
mod rest;
mod resume;
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
