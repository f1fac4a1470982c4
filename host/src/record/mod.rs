//! Everything that is stored: keys and their encoding, outcomes, trials, and the store itself. May import `system`.
//! Start with [`key`] for identity and [`store`] for the files on disk.

pub mod causality;
pub mod dry_run;
pub mod encoding;
pub mod ending;
pub mod evidence;
pub mod facts;
pub mod hint;
pub mod key;
pub mod limits;
pub mod outcome;
pub mod quotas;
pub mod retention;
pub mod safetensors;
pub mod secret;
pub mod spend;
pub mod stage;
pub mod store;
pub mod trial;
