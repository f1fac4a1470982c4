//! Which tokens each logit can depend on, proved from the records of one `forward`. The records run on elements that
//! are not numbers: each is a known constant, a value without tokens (a parameter), or the tokens that it was made of.
//! So one pass over the records holds for all texts of that shape.
//!
//! Start at [`prove()`] in `proof`, then `cell` (what an element is) and `rules` (a line for each op; `elementwise`,
//! `layout`, `reduce`, `product` and `index` have what they do). `record` collects the records, `watch` checks in an
//! evaluation what the proof took for granted. A rule may tell more tokens than there are, never fewer; where it cannot
//! tell exactly, it says so by `sure` (see [`Cell`]). Pure; may import `op`, `spec`, `infer`, `exec` and
//! `fault`.

mod blame;
mod call;
mod cell;
mod cells;
mod elementwise;
mod index;
mod known;
mod layout;
mod product;
mod proof;
mod record;
mod reduce;
mod rules;
mod source;
mod trace;
mod watch;

pub use cell::{Cell, Reach};
pub use proof::{Finding, Why, prove};
pub use record::{Recorder, Recording};
pub use source::{Leak, Source, elements};
pub use trace::{MAX_HELD, Need, Needs};
pub use watch::Watching;
