//! Executes op records on candle-core tensors: the oracle in the tests, and the code path that GPUs use. Each op is
//! composed from candle's own, for clarity before speed. Tensors are contiguous and never change once they are made: an
//! op in place puts another tensor under the same id. A bool is held as u8.
//!
//! Start at `executor`. May import `op`, `exec`, `spec` and `fault`, and `cpu` for random numbers, so that every
//! executor draws the same, and for ops that candle lacks or defines otherwise: those are computed there on downloaded
//! values.

mod executor;
mod fused;
mod ops;
mod parts;

pub use executor::CandleExecutor;
