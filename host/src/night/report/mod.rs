//! What a night leaves for people. `summary` tells its standing and its end, `tally` counts, `files` are what they read
//! in the morning, `picture` and `svg` draw it. May not propose, train or judge.

pub mod files;
pub mod picture;
mod summary;
pub mod svg;
pub(super) mod tally;
