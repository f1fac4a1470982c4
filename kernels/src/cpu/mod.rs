//! The bit-exact CPU executor: numerics class `cpu-2`. A result is a function of the op and its inputs; instruction
//! set, thread count and planning never show.
//!
//! Start at [`executor`]. A flush goes this way: records become nodes on blocks of memory (`record`, `expand`,
//! `planner`), nodes are cut into parts (`split`), threads take the parts (`graph`), and each part is arithmetic on
//! slices (`run`, `dispatch`, `any_dtype` and the kernels). The kernels are the other files: they take slices and know
//! neither records nor memory.
//!
//! May import `op`, `spec`, `fault`, `exec`, and of `cost` what a kernel and its price must agree on.

mod any_dtype;
pub mod attention;
mod call;
pub mod cast;
pub mod ceilings;
mod dispatch;
pub mod elements;
pub mod elementwise;
pub mod executor;
mod expand;
pub mod gemm;
mod graph;
pub mod index;
pub mod integer;
pub mod linear_loss;
pub mod loss;
pub mod math;
pub mod matrix;
mod memory;
mod micro;
pub mod newton_schulz;
mod node;
mod pack;
pub mod path;
mod planner;
pub mod power;
mod prefetch;
pub mod random;
mod record;
pub mod reduce;
pub mod rope;
mod run;
pub mod scan;
mod scratch;
pub mod shape;
pub mod sort;
mod split;
pub mod threads;
mod views;

pub use executor::{CLASS, CpuExecutor, Planning};
