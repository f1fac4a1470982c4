//! Whom a champion is owed to: the strangers and labs among the authors of the trials that it goes back to, and of the
//! sources that these name as theirs.

use crate::community::{Finding, Owed, Signed};
use crate::record::store::{Store, StoreError};
use crate::record::trial::{Credit, Trial};
use std::collections::BTreeMap;

/// A trial that somebody sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Owing<'a> {
    pub trial: &'a Trial,
    pub credit: &'a Credit,
    /// To whom the finding that it was goes back, oldest first.
    pub before: Vec<Owed>,
}

/// What a trial goes back to and others sent, itself included, oldest first.
pub fn owing<'a>(store: &Store, number: u64, trials: &[&'a Trial]) -> Result<Vec<Owing<'a>>, StoreError> {
    let (mut open, mut lineage) = (vec![number], BTreeMap::new());
    while let Some(number) = open.pop() {
        let Some(trial) = trials.iter().find(|trial| trial.number == number) else { continue };
        if lineage.insert(number, *trial).is_some() {
            continue;
        }
        open.push(trial.parent);
        let made_from = trial.credit.as_ref().and_then(|credit| credit.made_from);
        open.extend(trials.iter().filter(|other| Some(other.source_blob) == made_from).map(|other| other.number));
    }
    let sent = lineage.into_values().filter_map(|trial| Some((trial, trial.credit.as_ref()?)));
    sent.map(|(trial, credit)| Ok(Owing { trial, credit, before: before(store, credit)? })).collect()
}

/// To whom a finding goes back, as its lab says.
fn before(store: &Store, credit: &Credit) -> Result<Vec<Owed>, StoreError> {
    let Some(finding) = credit.sent.finding() else { return Ok(Vec::new()) };
    let text = match store.get_blob(&finding) {
        Err(StoreError::Missing { .. } | StoreError::Corrupt { .. }) => return Ok(Vec::new()),
        text => text?,
    };
    // It was read when it came.
    let read = Signed::<Finding>::read(&text).ok();
    Ok(read.map(|signed| signed.text.credits.iter().cloned().collect()).unwrap_or_default())
}
