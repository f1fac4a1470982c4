//! The engine as a silent library: it never prints. `host`, the binary, is a thin shell around it.

pub mod evolve;
pub mod outcome;
pub mod policy;
pub mod sandbox;
pub mod select;
