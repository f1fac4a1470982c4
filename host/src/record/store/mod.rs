//! The store: a folder with everything that a host keeps. It survives `kill -9` and power loss at any point.
//!
//! ```text
//! blobs/AA/BB…   content by BLAKE3: sources, components, outcomes, states, checkpoints, policies, scores,
//!                requests to proposers and their answers, submissions, receipts and findings
//! incoming/      files being written
//! secrets/       what chooses the held-out text, each named by its commitment; for the owner alone
//! index.sqlite   records that name the blobs and link them; see schema.sql to schema_10.sql
//! key            signs receipts and claims, if `host keygen` made one; for the owner alone
//! receipts/      a copy of each receipt, for the author of its submission
//! nights/        the signs of nights that take submissions and still run
//! now.json       what a night that runs does at this moment, for programs that watch
//! lock, queue    held by the process that runs an experiment, and by the one whose turn is next
//! ```
//!
//! A blob is durable before the transaction that names it commits. A crash leaves complete records or unreferenced
//! blobs, which [`Store::gc`] removes. Reading needs no lock; any number of processes may read. Of models and
//! checkpoints, only some are kept: see `weights`.

mod blob;
mod check;
mod checksum;
mod commons;
mod error;
mod false_verdict;
mod folder;
mod inbox;
mod index;
mod lock;
mod night;
mod proposal;
mod record;
mod schema;
mod score;
mod secret;
#[cfg(test)]
mod tests;
mod trial;
mod waiting;
mod watch;
mod weights;
mod word;

pub use blob::Collected;
pub use check::{Checked, Fault};
pub use checksum::define_checksum;
pub use commons::{Attempts, Distrusted, FindingRecord, NewFinding, Proof};
pub use error::StoreError;
pub use folder::{Faults, INCOMING, RECEIPTS, Store, WritePoint};
pub use inbox::{Arrival, NewSubmission, Quota, SubmissionRecord};
pub use lock::{NightSign, RunLock};
pub use night::{NightRecord, NightUsed};
pub use proposal::{Account, AnswerOutcome, DecidedTurn, ExchangeRecord, NewAnswer, Untried};
pub use record::{ComponentRecord, DryRunResult, ExperimentRecord, Finished, Found};
pub use score::ScoreRecord;
pub use secret::SecretRecord;
pub use trial::{Recheck, Role, RunTime, RungSigns, TrialRecord};
pub use waiting::Waiting;
pub use watch::{Sight, Standing};
pub use weights::{LetGo, Model};
