//! What is written down: keys and their encoding, outcomes, trials, and the store that holds them. May import `system`.
//! Start with [`key`] for identity and [`store`] for what is on disk.

pub mod dry_run;
pub mod encoding;
pub mod ending;
pub mod facts;
pub mod key;
pub mod limits;
pub mod outcome;
pub mod spend;
pub mod stage;
pub mod store;
pub mod trial;
