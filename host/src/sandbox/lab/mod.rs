//! The host's side of the contract `lab:train@0.2.0`. Each function of the WIT is one line of a table below, and maps
//! to one call of the session. Charges fuel for data that the host must lift or hold. Every fault traps.
//!
//! Fuel: `CALL_FUEL` per call, 1 per 4 bytes of a list (rounded up), 1 per byte of text, `HANDLE_FUEL` per handle,
//! `ROW_FUEL` per row of a batch of short rows.
//! The operations themselves have another price, which the session charges to the budget; so has fuel beyond what comes
//! free with each operation (`meter`).

mod account;
mod interface;
mod lines;
mod link;
mod meter;
mod state;
mod tensors;
mod types;

pub use account::{grant, settle};
pub use interface::{CALL_BYTES, MAX_HANDLES, charge};
pub use lines::Lines;
pub use link::link;
pub use meter::Meter;
pub use state::{GuestPanic, OnStep, State, Task};
pub use types::Tensor;
