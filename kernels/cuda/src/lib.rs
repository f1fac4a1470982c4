//! CUDA for op records: the sources of the kernels (`*.cu` beside this folder), for each op the launches, products and
//! copies that it is made of, and an executor of these.
//!
//! Start at [`lower()`]. Every op of the table has a plan; matrix products are left to a library for them.
//! [`CudaExecutor`] does plans on any [`Device`]. That of the tests runs the kernels on a CPU (`cpu/` has what that
//! takes), and their results are compared with those of class `cpu-2`. The feature `driver` has one that is a GPU.

#![warn(missing_docs)]

mod bytes;
mod device;
#[cfg(feature = "driver")]
pub mod driver;
mod executor;
mod lower;
mod plan;
mod source;

pub use bytes::to_values;
pub use device::{At, Device, Given};
pub use executor::{CudaExecutor, Traffic};
pub use lower::{NormRope, lower};
pub use plan::{Argument, BLOCK, Buffer, Launch, Place, Plan, Product, Step};
pub use source::{HEADERS, SOURCES, kernels_of, whole};
