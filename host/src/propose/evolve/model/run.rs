//! What a trial taught: its changes, and what came of them.

use crate::propose::evolve::model::change::Change;
use crate::record::trial::ChangeKind;

/// A trial, as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Number of the champion that it changed and met.
    pub champion: u64,
    pub changes: Vec<Change>,
    pub result: Result,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Result {
    Measured(Measured),
    /// It was refused, or it failed in training.
    Failed,
}

/// How it compared with the champion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Champion minus candidate in bits per byte, the mean over their random seeds. Positive is better.
    pub gain: f64,
    /// Number of these random seeds.
    pub pairs: u32,
    /// Standard deviation of the gain between them, of two or more.
    pub spread: Option<f64>,
    pub kind: ChangeKind,
    pub kept: bool,
}
