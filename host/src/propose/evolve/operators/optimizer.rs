//! Changes several learning rates at once: two groups of parameters share one rate, or all rates move together. No step
//! on a single constant can do this.

use crate::propose::evolve::constants::{Constant, Value};
use crate::propose::evolve::operators::adam::rates;
use crate::propose::evolve::operators::guest::{Change, Guest};

/// Factors for all rates.
const FACTORS: &[f64] = &[0.5, 0.7, 1.4, 2.0];

pub fn sites(guest: &Guest) -> Vec<Change> {
    let rates: Vec<&Constant> = rates(guest);
    let mut sites = Vec::new();
    if rates.len() < 2 {
        return sites;
    }
    for factor in FACTORS {
        let (edits, words): (Vec<_>, Vec<_>) = rates.iter().map(|c| c.set(c.scaled(*factor))).unzip();
        sites.push(Change { description: format!("all rates ×{factor}: {}", words.join(", ")), edits });
    }
    for group in &rates {
        for other in rates.iter().filter(|o| o.value != group.value) {
            let Value::Float(_) = other.value else {
                continue;
            };
            let (edit, words) = group.set(other.value);
            sites.push(Change {
                description: format!("one rate for two groups: {words}, as {}", other.name),
                edits: vec![edit],
            });
        }
    }
    sites
}
