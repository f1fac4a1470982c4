//! Changes the pattern of attention windows over layers: the number of short windows between long ones, and their
//! length.

use crate::propose::evolve::edit::Edit;
use crate::propose::evolve::operators::guest::{Change, Guest};

/// Short window for a pattern that has none.
const SHORT: i64 = 64;
const SHORTEST: i64 = 8;

pub fn sites(guest: &Guest) -> Vec<Change> {
    let Some(pattern) = guest.patterns.iter().find(|p| p.name.contains("WINDOW") && !p.fixed_length) else {
        return Vec::new();
    };
    let short = pattern.values.iter().copied().filter(|&v| v > 0).min().unwrap_or(SHORT);
    let with = |from: i64, to: i64| pattern.values.iter().map(|&v| if v == from { to } else { v }).collect();
    let mut patterns: Vec<Vec<i64>> = vec![
        vec![0],
        vec![short, 0],
        vec![short, short, 0],
        vec![short, short, short, 0],
        vec![0, short],
        with(short, short.saturating_mul(2)),
    ];
    if short / 2 >= SHORTEST {
        patterns.push(with(short, short / 2));
        patterns.push(vec![short / 2, short, 0]);
    }
    let mut sites: Vec<Change> = Vec::new();
    for values in patterns {
        let new = format!("{values:?}");
        let site = Change {
            description: format!("windows {:?} → {new}", pattern.values),
            edits: vec![Edit { range: pattern.range.clone(), text: new }],
        };
        if values != pattern.values && !sites.contains(&site) {
            sites.push(site);
        }
    }
    sites
}
