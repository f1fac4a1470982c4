//! What an experiment yields. Three kinds of status: only the first two are results, which are stored and
//! deduplicated; a host fault says nothing of the guest. Pure: types, their names, no I/O.

mod encode;
mod state;
mod status;

pub use state::{StateError, decode_state, encode_state};
pub use status::{GuestFault, HostFault, Outcome, Score, Status};
