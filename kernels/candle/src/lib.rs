//! Executes op records on candle-core tensors: the oracle of the tests. Each op is composed from candle's own, for
//! clarity before speed. Tensors are contiguous and never change once they are made: an op in place puts another tensor
//! under the same id. A bool is held as u8.
//!
//! A package of its own, so that `kernels` and all that is built on it is the same with and without candle. Start at
//! [`CandleExecutor`]. Random numbers are those of `kernels::cpu`, so that every executor draws the same. Ops that
//! candle lacks or defines otherwise are computed there, on downloaded values.

mod executor;
mod fused;
mod ops;
mod parts;

pub use executor::CandleExecutor;
