//! From a text to an outcome: prepare, train, evaluate, judge, and run again. May import every room but `night`, `mcp` and
//! `cli`. Start with [`bench`], which all experiments of one context share.
//!
//! ```text
//! bench    what all experiments of one context share
//! prepare  source → component → dry run: a candidate
//! batch    experiments at the same time, recorded together
//! runner   training → evaluation → outcome, of one of them; knows no store
//! score    a finished run on the other splits
//! judge    what counts as a gain: pure
//! ```

pub mod batch;
pub mod bench;
pub mod calibrate;
pub mod judge;
pub mod prepare;
pub mod replay;
pub mod runner;
pub mod sample;
pub mod score;
