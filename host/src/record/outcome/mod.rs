//! The outcome of an experiment. There are three kinds of status. Completed runs and guest faults are results, which
//! are stored and deduplicated; a host fault says nothing about the guest. Pure.

mod encode;
mod state;
mod status;

pub use state::{StateError, decode_state, encode_state};
pub use status::{GuestFault, HostFault, Outcome, Score, Status};
