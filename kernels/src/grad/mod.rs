//! Gradient rules, once, over op records: given an op, what it read and made, and the gradient of its result, a rule
//! emits the ops that compute the gradients of its inputs. Knows no executor.
//!
//! Only wanted gradients are computed; broadcasting is undone by [`Op::SumTo`](crate::op::Op::SumTo). Gradients are
//! f32, also those of bf16 and f16 tensors. Start at [`gradients`] in `rules`. May
//! import `op`, `spec`, `fault`, and `infer` for broadcasting.

mod emit;
mod product;
mod rules;
#[cfg(test)]
mod tests;

pub use emit::{Done, Emit, Gradients};
pub use rules::{Saves, flows, gradients, saves};
