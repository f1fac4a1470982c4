//! Carries a change from one source onto another: a three-way merge on pieces of syntax, and the parts of a change that
//! make sense alone. Works for any two sources, whoever wrote them. Pure. May import `guest::source` and
//! `system::sanitize`. Start with [`Patch`].

mod carry;
mod conflict;
mod merge;
mod part;

pub use carry::{Patch, Text};
pub use conflict::Conflict;
pub use part::Part;
