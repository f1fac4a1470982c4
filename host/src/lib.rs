//! The engine as a silent library: it never prints. `host`, the binary, is a thin shell around it.

pub mod component;
pub mod encoding;
pub mod key;
pub mod outcome;
pub mod policy;
pub mod sandbox;
pub mod source;
pub mod store;
pub mod toolchain;
