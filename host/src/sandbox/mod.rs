//! Running components: the only place that names wasmtime. Each run happens in a child process, re-executed from the
//! same binary, which confines itself before it looks at the guest. The parent treats what a child says as hostile.

mod batches;
pub mod child;
mod engine;
mod evaluate;
mod guest;
mod handles;
pub mod instructions;
mod lab;
mod limiter;
pub mod measure;
mod parent;
mod run_spec;
mod sample;
mod score;
mod start;
mod trap;
mod wire;

pub use parent::Sandbox;
pub use run_spec::{EvalInput, Evaluated, Progress, Resume, RunSpec, Sampling, Trained};
pub use start::Start;
