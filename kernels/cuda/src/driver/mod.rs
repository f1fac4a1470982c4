//! A GPU as a [`Device`](crate::Device), through NVIDIA's libraries, which are loaded when one is opened. Start at
//! `gpu`; `cubins` compiles the kernels for the card, `products` does matrix products, `look` says what there is.
//!
//! The calls are type-checked; without a GPU they cannot be run. What does not need one is tested.

mod cubins;
mod gpu;
mod libraries;
mod look;
mod products;

pub use gpu::{Gpu, Memory};
pub use look::{Found, look};
