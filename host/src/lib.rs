//! The engine as a silent library: it never prints. `host`, the binary, is a thin shell around it.

pub mod cache;
pub mod data;
pub mod outcome;
pub mod policy;
pub mod sandbox;
