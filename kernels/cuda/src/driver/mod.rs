//! A GPU as a [`Device`](crate::Device), through NVIDIA's libraries, which are loaded when one is opened. Start at
//! `gpu`; `cubins` compiles the kernels for the card, `products` does matrix products.
//!
//! The calls are type-checked; without a GPU they cannot be run. What does not need one is tested.

mod cubins;
mod gpu;
mod products;

pub use gpu::{Gpu, Memory};
