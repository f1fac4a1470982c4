//! Times representative ops of every cost class on an executor: what a profile is fitted to, and what a machine is
//! compared by. Start at [`measure`]; `cases` lists what is timed. May import `op`, `spec`, `infer`, `cost` and `exec`.

mod cases;
mod timing;

pub use timing::{Timing, measure, time};
