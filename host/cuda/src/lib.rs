//! What the children of `host --device cuda` compute with. `main` is the program for GPUs, `emulated` the one of the
//! tests; both are nothing but a child of the sandbox on another backend (`backend`), in a second wall that has the
//! holes which a driver needs (`driver`).

#![warn(missing_docs)]

mod backend;
mod driver;
mod program;

pub use backend::OnDevice;
pub use driver::driver;
pub use program::run;
