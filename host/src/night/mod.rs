//! A night: propose, try and keep mutations until a bound of the policy or Ctrl-C ends it. May import every room except
//! `mcp` and `cli`.
//!
//! ```text
//! run ─▶ turns    a thread for each proposer; the bandit ranks them (the next mutation is written while one trains)
//!  ├──▶ trial    lock the store, read new trials, judge seed by seed, confirm split; record
//!  └──▶ report   the standing, the end, and the files for people
//! ```
//!
//! Start with `run`. Beside it, `memory` is the past that proposers learn from; `resume` takes up what is in the store;
//! `retention` lets go of weights; `outlook` says before what a night will take; `lock`, `rest`, `bounds` and `stop`
//! wait and end; `event`, `progress` and `now` are for watchers, `notify` for people who do not watch; `setup` opens
//! everything, `past` an earlier night; `sent` is the text of what is sent; `known` reads what the search knows from
//! the store; `recorded` tries a past night again, `search` samples constants, `promote` runs keeps on larger terms,
//! `export` writes a night for other tools; `answer` and `clerk` answer submissions of strangers, `verify` proves what
//! they and others claim; `commons` shares what labs found, `credits` says whom a champion is owed to.
//!
//! One thread trains and makes all decisions. The other threads only write proposals. A proposer that writes while a
//! mutation trains knows all trials except that one. With `evolve` alone, a night is a function of policy and store:
//! each turn is given when the training run before it begins.

mod answer;
mod bounds;
mod clerk;
pub mod commons;
pub mod credits;
mod error;
pub mod event;
pub mod export;
pub mod known;
mod lock;
mod memory;
pub mod notify;
pub mod now;
pub mod outlook;
pub mod past;
mod progress;
pub mod promote;
pub mod recorded;
pub mod report;
mod rest;
mod resume;
mod retention;
mod run;
pub mod search;
pub mod sent;
pub mod setup;
mod stop;
pub mod trial;
pub mod turns;
pub mod verify;

pub use bounds::Bounds;
pub use clerk::Clerk;
pub use error::NightError;
pub use memory::baseline_trial;
pub use run::{Night, Plan};
pub use stop::Stop;
pub use trial::{Champion, Contest, Depth, Judgement, Outsider, Rung, Seen, replica_seeds};
