//! Any program as a proposer: a headless coding agent or a script. It gets a work folder with the brief, the parent, the
//! history and the SDK reference, and leaves a changed `train.rs`. It is the user's own program and has the user's
//! powers, but not the store's folder, no secret that was not named, and no process that outlives it.

mod ask;
mod config;
mod error;
mod folder;
pub(crate) mod process;
mod proposer;
mod supervisor;
mod work;

pub use ask::Command;
pub use config::Config;
pub use error::CommandError;
pub use proposer::Program;
pub use supervisor::main_if_supervisor;
pub use work::{Answer, Work};
