//! The numeric engine: op records, shape and cost rules, gradients, executors. It knows nothing of WASM, policies or
//! stores. The arithmetic in [`cpu`] works on slices and uses no other library.
#![warn(missing_docs)]
#![allow(rustdoc::broken_intra_doc_links, reason = "shapes stand in brackets")]

pub mod calibrate;
pub mod causal;
pub mod cost;
pub mod cpu;
pub mod encode;
pub mod exec;
pub mod fault;
pub mod grad;
pub mod graph;
pub mod infer;
mod named;
pub mod op;
pub mod session;
pub mod spec;
