//! Any program as a proposer, such as a headless coding agent or a script. It gets a work folder with the brief, the
//! parent, the history and the SDK reference, and must change `train.rs`. The program belongs to the user and has the
//! user's powers. But it is not told the store's folder, it gets no secret that the policy does not name, and its
//! processes do not outlive it.

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
