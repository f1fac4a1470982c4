//! Op records: the currency between guest calls and execution. An op is a kind with its scalar operands; a record adds
//! the ids of what it reads and writes. Here stands what is fixed for each op: meaning, code, name, operands, form.
//! Start at `table`; a new function of one or two operands is a row of `functions`.
//!
//! Imports `spec` only. Shapes are in [`crate::infer`], prices in [`crate::cost`], gradients in [`crate::grad`],
//! arithmetic in [`crate::cpu`].

mod form;
mod functions;
mod operands;
mod record;
mod scalars;
mod table;

pub use form::{Class, Form};
pub use functions::{Binary, Compare, Unary};
pub use operands::{Dtypes, Misfit, Operand, Operands};
pub use record::{Record, TensorId};
pub use scalars::{AdamW, Attention, Attribute, Loss, Scalar};
pub use table::Op;
