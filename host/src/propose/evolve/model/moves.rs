//! Where the search stands, and what it can change there.

use crate::propose::evolve::model::change::Change;

/// Steps of constants are at most this long on their scales: a factor of 2.
const REACH: f64 = 0.7;

/// A change that is possible now.
#[derive(Clone, Debug, PartialEq)]
pub struct Move {
    pub changes: Vec<Change>,
    /// How likely its operator was to help before any trial: 0 to 3.
    pub prior: u8,
}

impl Move {
    /// Whether its step is short enough. A wider search takes longer ones.
    pub fn is_near(&self, width: f64) -> bool {
        let is_near = |change: &Change| match change {
            Change::Step { from, to, .. } => (to - from).abs() <= REACH * width,
            Change::Edit { .. } | Change::Without { .. } => true,
        };
        self.changes.len() > 1 || self.changes.iter().all(is_near)
    }

    /// What it touches. No bundle touches anything twice.
    pub fn touches(&self) -> impl Iterator<Item = &str> {
        self.changes.iter().map(|change| match change {
            Change::Step { name, .. } => name.as_str(),
            Change::Edit { made, instead_of: Some(_) } => {
                made.split_once(": ").map_or(made.as_str(), |(place, _)| place)
            }
            Change::Edit { made, instead_of: None } | Change::Without { made } => made,
        })
    }
}

/// Where the search stands.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Number of the champion.
    pub champion: u64,
    /// Its score in bits per byte.
    pub level: f64,
    /// Standard deviation of a score between random seeds.
    pub noise: f64,
    pub moves: &'a [Move],
}
