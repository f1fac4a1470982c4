//! Runs components. Only this room names wasmtime. Each run happens in a child process, which is re-executed from the
//! same binary and confines itself before it reads the guest. The parent treats all messages of a child as hostile. May
//! import `record` and `system`. Start with `parent` for this side of the wall, `child` for the other.

mod batches;
mod causality;
pub mod child;
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

pub use parent::Sandbox;
pub use run_spec::{EvalInput, Evaluated, Progress, Resume, RunSpec, Sampling, Trained};
pub use start::Start;
