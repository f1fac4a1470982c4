//! Runs components. Only this room names wasmtime. Each run happens in a child process, which is re-executed from the
//! same binary, or from that of a device, and confines itself before it reads the guest. The parent treats all messages
//! of a child as hostile. May import `record` and `system`. Start with `parent` for this side of the wall, `child` for
//! the other; `backend` is what a child computes with, `device` what the parent knows of one that is not the processor.

pub mod backend;
mod batches;
mod causality;
pub mod child;
mod device;
mod engine;
mod evaluate;
mod graph;
mod guest;
mod handles;
pub mod instructions;
mod lab;
mod limiter;
pub mod measure;
mod parent;
pub(crate) mod place;
mod proof;
mod run_spec;
mod sample;
mod score;
mod start;
mod trap;
mod wasi;
pub mod wire;

pub use device::{Accelerator, Device, DeviceError};
pub use parent::Sandbox;
pub use run_spec::{EvalInput, Evaluated, Progress, Resume, RunSpec, Sampling, Trained};
pub use start::Start;
