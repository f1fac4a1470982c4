//! The library that guests use. A guest is one Rust file that ends in `guest!(train, model);`: `train` declares
//! parameters and updates them, `model` maps tokens to logits. Everything it does, it does with tensors that live in
//! the host. It uses the standard library alone, so that one plain `rustc` call builds it.
//!
//! ```text
//! use guest_sdk::prelude::*;
//!
//! fn model(net: &Net, tokens: &Tensor) -> Tensor {          // [rows, time] -> [rows, time, vocab]
//!     net.embed("bigrams", tokens)
//! }
//!
//! fn train(lab: &mut Lab) {
//!     let vocab = lab.task().vocab;
//!     let mut net = Net::new();
//!     net.parameter("tables", "bigrams", Tensor::zeros([vocab, vocab]));
//!     let mut adam = AdamW::new(0.9, 0.95, 0.0).group(net.group("tables"), 0.1);
//!     while let Some(batch) = lab.next_batch(16, 64) {
//!         let loss = model(&net, &batch.tokens).cross_entropy(&batch.targets);
//!         adam.step(&loss.backward(), 1.0 - lab.progress());
//!         lab.log("loss", &loss);
//!     }
//! }
//!
//! guest!(train, model);
//! ```
//!
//! Sizes and axes are `usize`; axes count from 0. "Cost:" names, for a function or for its group, the class whose rates
//! on the reference device price it; a function without it is free. A mistake (shapes that do not fit, an unknown name)
//! ends the run with a message that names the operation, the shapes and the guest's line; a function that is made of
//! others may name the one of them that refused (`zeros`: full, `x * 2.0`: affine).
//!
//! Limits: a tensor has at most 6 axes, each of size 1 or more, and at most 2³¹ elements; attention sees at most 65,536
//! positions; one call carries at most 64 MB from the guest. A policy sets the others, by default 2 GB of live tensors,
//! 100,000 tensors at once, 256 MB of parameters and buffers, 100,000 logged points. Beyond 64 MB of live tensors there
//! are no checkpoints, and a run is replayed from its beginning only.
//!
//! Each run is tried dry first: every operation is checked and priced, none is computed, and what a guest reads
//! ([`Tensor::read`], [`Tensor::item`]) is 0. A guest that asserts on values it read, or indexes by them, fails there.
#![allow(rustdoc::broken_intra_doc_links, reason = "shapes stand in brackets")]
#![warn(missing_docs)]

#[allow(missing_docs, clippy::all, unsafe_op_in_unsafe_fn)]
#[rustfmt::skip]
pub mod bindings;
mod grad;
mod index;
mod lab;
mod math;
mod net;
mod nn;
mod operators;
mod optim;
mod random;
mod reduce;
#[doc(hidden)]
pub mod rt;
mod shape;
mod tensor;

pub use grad::{Grads, checkpoint, no_grad};
pub use lab::{Batch, Lab, Task};
pub use math::Operand;
pub use net::{Key, Net};
pub use nn::{JORDAN, POLAR_EXPRESS, QuinticStep};
pub use optim::{AdamW, Average, Muon, Snapshot};
pub use random::RandomStream;
pub use tensor::{DType, Tensor};

/// All that a guest usually needs: `use guest_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{AdamW, Average, Batch, DType, Grads, JORDAN, Key, Lab, Muon, Net, POLAR_EXPRESS, Snapshot};
    pub use crate::{RandomStream, Task, Tensor, checkpoint, guest, no_grad};
}

/// `guest!(train, model);` makes the file a guest. `train: fn(&mut Lab)` trains; `model: fn(&Net, &Tensor) -> Tensor`
/// maps tokens [rows, time] (u32) to logits [rows, time, vocab]. The host calls `model` in another process with the
/// parameters and buffers that training left.
#[macro_export]
macro_rules! guest {
    ($train:path, $model:path) => {
        const _: () = {
            struct Exports;
            impl $crate::bindings::Guest for Exports {
                fn train() {
                    $crate::rt::report_panics();
                    $train(&mut $crate::rt::lab());
                }
                fn forward(tokens: $crate::rt::Handle) -> $crate::rt::Handle {
                    $crate::rt::report_panics();
                    let tokens = $crate::Tensor::from(tokens);
                    $model(&$crate::Net::new(), &tokens).into()
                }
            }
    $crate::bindings::export_guest!(Exports with_types_in $crate::bindings);
        };
    };
}
