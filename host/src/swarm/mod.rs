//! A night over many machines. The coordinator is a night that asks others for its runs; machines make them. Between
//! them is a NATS server with JetStream, which keeps jobs and receipts until they are done with. The coordinator's
//! store stays the truth. May import `community`, `data`, `experiment`, `guest`, `record`, `sandbox` and `system`.
//!
//! Start with `job` and `receipt`, which are all that machines tell each other of a run, and `accept`, which says when
//! one answers the other. docs/swarm.md is for users.
//!
//! ```text
//! job, receipt, said    what is said of a run: signed, by hash, without a path or a time   (pure)
//! accept                whether a receipt answers a job                                     (pure)
//! machine, board, pace  what a machine offers; who is there; how long runs take             (pure)
//! names, rights         subjects, streams, buckets; who may do what on the server           (pure)
//! pass                  the file that lets a machine in
//! link, stock, blobs    the connection; streams and buckets; what goes through them by hash
//! lease                 one coordinates at a time
//! coordinator, desk     the night's side: asks, hears, takes in (intake)
//! work, worker, slot    a machine's side: takes jobs, and answers; run makes the runs, from what cache holds
//! server, watch         a local server; status, drain, kick
//! ```

mod accept;
mod blobs;
mod board;
mod cache;
mod coordinator;
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

pub use coordinator::Coordinator;
pub use error::{PassError, SwarmError};
pub use job::JobFault;
pub use link::Link;
pub use machine::{MachineId, Offer};
pub use pass::{Pass, Role};
pub use server::{COORDINATOR_PASS, MACHINE_PASS, Server};
pub use watch::{Order, Status, order, status};
pub use work::{Stops, Work, work};
pub use worker::Told;
