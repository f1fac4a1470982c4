//! CUDA for op records, without a driver: the sources of the kernels (`*.cu` beside this folder), and for each op the
//! launches, products and copies that it is made of. Who has a GPU compiles the one and does the other.
//!
//! Start at [`lower()`]. Every op of the table has a plan; matrix products are left to a library for them. The tests run
//! all plans on a CPU (`cpu/` has what that takes) and compare the results with the kernels of class `cpu-2`.

mod lower;
mod plan;
mod source;

pub use lower::{NormRope, lower};
pub use plan::{Argument, BLOCK, Buffer, Launch, Place, Plan, Product, Step};
pub use source::{HEADERS, SOURCES, kernels_of};
