//! From a text to an outcome: prepare, train, evaluate, judge, replay. May import `data`, `guest`, `sandbox`, `record`
//! and `system`. Start with `bench`, which all experiments of one context share.
//!
//! ```text
//! bench      settings and tools of one context
//! rules      what a policy demands of guests beside limits; admit asks whether they keep it
//! prepare    source → component → dry run: a candidate
//! batch      experiments at the same time, recorded together
//! fleet      what the bench needs of other machines that run experiments in its place; away asks them
//! doubt      what rests on a contributor's word alone, made again by a trusted machine
//! ended      how a run ended
//! runner     one experiment: training → evaluation → outcome; holds no store
//! spec       the settings of the runs of a manifest
//! runtime    what a guest gets that brings an interpreter
//! weights    the model of a finished run, made again if the store let it go
//! score      a finished run on the confirm and test splits
//! judge      what counts as a gain: pure
//! replay     a stored experiment again, compared with its record
//! sample     text from a stored model
//! calibrate  speed of this machine
//! ```

mod admit;
pub mod away;
pub mod batch;
pub mod bench;
pub mod calibrate;
mod doubt;
pub mod ended;
pub mod fleet;
pub mod judge;
pub mod prepare;
pub mod replay;
pub mod rules;
pub mod runner;
mod runtime;
pub mod sample;
pub mod score;
pub mod spec;
mod weights;
