//! Whether the keeps of a night hold on larger terms: each alone on the seed guest, and all together. No verdict on a
//! mutation comes from here. Start with `run`; `transfer` has the figures and is pure.

mod lineage;
mod run;
mod transfer;

pub use lineage::{Keep, lineage};
pub use run::{Found, Sources, promote};
pub use transfer::{Gain, Holds, Transfer};
