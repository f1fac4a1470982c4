//! The engine as a silent library: it never prints. `host`, the binary, is a thin shell around it.

pub mod bench;
pub mod cache;
pub mod calibrate;
pub mod change;
pub mod child;
pub mod component;
pub mod data;
pub mod encoding;
pub mod evolve;
pub mod key;
pub mod night;
pub mod open;
pub mod outcome;
pub mod policy;
pub mod proposer;
pub mod replay;
pub mod report;
pub mod sample;
pub mod sandbox;
pub mod search;
pub mod select;
pub mod source;
pub mod store;
pub mod toolchain;
