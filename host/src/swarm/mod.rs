//! A night over many machines. The coordinator is a night that asks others for its runs; machines make them. Between
//! them is a NATS server with JetStream, which keeps jobs and receipts until they are done with. The coordinator's
//! store stays the truth. May import `community`, `data`, `experiment`, `guest`, `record`, `sandbox` and `system`.
//! Start with `job` and `receipt`, all that machines tell each other of a run. docs/swarm.md is for users.
//!
//! ```text
//! job, receipt, said    what is said of a run: signed, by hash, no path, no time; accept: what answers (pure)
//! machine, board, pace  what a machine offers; who is there; how long runs take             (pure)
//! names, rights         lanes: subjects, streams, buckets; who may do what on the server    (pure)
//! contributor           somebody whose word is not enough: which of its runs are made again (pure)
//! pass, link, stock     what lets a machine in; the connection; streams and buckets, of blobs by hash too
//! coordinator, desk     the night's side: asks (asked), hears, takes in (intake); crowd: contributors; lease
//! work, worker, slot    a machine's side: takes jobs, and answers; run makes the runs, from what cache holds
//! server, watch         a local server; status, drain, kick, invite
//! ```

mod accept;
mod asked;
mod blobs;
mod board;
mod cache;
mod contributor;
mod coordinator;
mod crowd;
mod desk;
mod error;
mod intake;
mod job;
mod lease;
mod link;
mod machine;
mod names;
mod pace;
mod pass;
mod receipt;
mod rights;
mod run;
mod said;
mod server;
mod slot;
mod stock;
#[cfg(test)]
mod tests;
mod watch;
mod work;
mod worker;

pub use contributor::Contributor;
pub use coordinator::Coordinator;
pub use error::{PassError, SwarmError};
pub use job::{Job, JobFault};
pub use link::Link;
pub use machine::{MachineId, Offer};
pub use names::Lane;
pub use pass::{Pass, Role};
pub use receipt::{End, Receipt};
pub use server::{COORDINATOR_PASS, MACHINE_PASS, Server};
pub use watch::{Contributing, Order, Status, invite, order, status};
pub use work::{Stops, Work, work};
pub use worker::Told;
