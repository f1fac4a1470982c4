//! CUDA for op records: the sources of the kernels (`*.cu` beside this folder), for each op the launches, products and
//! copies that it is made of, and an executor of these.
//!
//! Start at [`lower()`]. Every op of the table has a plan; matrix products are left to a library for them.
//! [`CudaExecutor`] does plans on any [`Device`]; several of them on one that is [`Shared`], with memory that a
//! [`Pool`] keeps. The [`emulator`] runs the
//! kernels on a CPU (`cpu/` has what that takes), and tests compare their results with those of class `cpu-2`. The
//! feature `driver` has a device that is a GPU.

#![warn(missing_docs)]

mod bytes;
mod device;
#[cfg(feature = "driver")]
pub mod driver;
pub mod emulator;
mod executor;
#[cfg(test)]
mod fake;
mod lower;
mod plan;
mod pool;
mod shared;
mod source;

pub use bytes::to_values;
pub use device::{At, Device, Given};
pub use executor::{CudaExecutor, Traffic};
pub use lower::{NormRope, lower};
pub use plan::{Argument, BLOCK, Buffer, Launch, Place, Plan, Product, Step};
pub use pool::{Pool, Pooled};
pub use shared::Shared;
pub use source::{HEADERS, SOURCES, kernels_of, whole};
