//! What a night leaves for people. May not propose, train or judge.
//!
//! `summary` tells its standing and its end, `tally` counts, `files` are what they read in the morning. `page` is the
//! report as one file for a browser, `pages` writes it, and `dash` serves it while nights run; `watch` sees what is
//! new, and `running` tells what trains. `picture` reads what the staircase shows, `chart` and `scale` lay it out as a
//! `drawing`, `svg` and `png` write that.

pub mod chart;
pub mod dash;
pub mod drawing;
pub mod files;
pub mod page;
pub mod pages;
pub mod picture;
pub mod png;
pub mod running;
pub mod scale;
mod summary;
pub mod svg;
pub(super) mod tally;
pub mod watch;
