//! The keeps between the seed guest and the champion of a night's terms.

use crate::guest::component::Card;
use crate::night::error::NightError;
use crate::propose::patch::{Patch, Text};
use crate::record::store::{Store, TrialRecord};
use crate::record::trial::Trial;
use std::collections::BTreeMap;

/// A kept mutation.
pub struct Keep {
    pub trial: Trial,
    /// The seed guest with this change alone, or why it cannot be made. A component is whole.
    pub alone: Result<String, String>,
}

/// The keeps that made the champion, oldest first, and the champion's source. Without any, both are those of the seed.
///
/// # Errors
/// The store fails, or has lost a source.
pub fn lineage(store: &Store, trials: &[TrialRecord], seed: &str) -> Result<(Vec<Keep>, String), NightError> {
    let by_number: BTreeMap<u64, &Trial> = trials.iter().map(|record| (record.trial.number, &record.trial)).collect();
    let text = |number: u64| -> Result<String, NightError> {
        let Some(trial) = by_number.get(&number).filter(|_| number > 0) else { return Ok(seed.to_owned()) };
        Ok(String::from_utf8_lossy(&store.get_blob(&trial.source_blob)?).into_owned())
    };
    let champion = trials.iter().rev().map(|record| &record.trial).find(|trial| trial.is_kept());
    let mut keeps = Vec::new();
    let mut next = champion;
    while let Some(trial) = next {
        let alone = alone(&text(trial.parent)?, &text(trial.number)?, seed);
        keeps.push(Keep { trial: trial.clone(), alone });
        // A champion is younger than the one it replaced, so this ends.
        next =
            by_number.get(&trial.champion).copied().filter(|before| before.number < trial.number && before.number > 0);
    }
    keeps.reverse();
    Ok((keeps, text(champion.map_or(0, |trial| trial.number))?))
}

fn alone(before: &str, after: &str, seed: &str) -> Result<String, String> {
    if Card::read(after).is_some() {
        return Ok(after.to_owned());
    }
    let parse = |text| Text::parse(text).map_err(|error| error.to_string());
    let patch = Patch::between(&parse(before)?, &parse(after)?);
    patch.onto(&parse(seed)?, patch.parts()).map_err(|conflict| conflict.to_string())
}
