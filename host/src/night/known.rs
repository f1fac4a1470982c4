//! What the search knows on the terms of the last night, read from the store alone.

use crate::night::memory::{source_of, text_of};
use crate::night::past::{self, PastError};
use crate::night::report::picture::{Level, baseline};
use crate::propose::evolve::Champion;
use crate::propose::evolve::known::{Known, know};
use crate::record::store::{NightRecord, Store, StoreError};
use crate::record::trial::Trial;

/// What the search knows. Of changes it knows nothing before the first night, and if this version cannot read the
/// night's policy or its baseline.
///
/// # Errors
/// If the store cannot be read.
pub fn known(store: &Store) -> Result<Known, StoreError> {
    let Some(night) = store.nights()?.pop() else { return Ok(know(&[], None)) };
    let records = store.trials_in(&night.context)?;
    let trials: Vec<&Trial> = records.iter().map(|record| &record.trial).collect();
    let hints = store.hints(&night.context)?;
    let Some((seed_guest, level)) = seed_guest(store, &night)? else { return Ok(know(&trials, None).with(&hints)) };
    let kept = trials.iter().rfind(|trial| trial.is_kept());
    let source = kept.map_or(Ok(seed_guest), |trial| source_of(store, trial))?;
    let champion = source.as_deref().map(|source| Champion {
        source,
        number: kept.map_or(0, |trial| trial.number),
        bpb: kept.and_then(|trial| trial.found.bpb).unwrap_or(level.bpb),
        noise: level.noise,
    });
    Ok(know(&trials, champion.as_ref()).with(&hints))
}

/// The seed guest's source, if the store has it, and its scores.
pub(super) fn seed_guest(store: &Store, night: &NightRecord) -> Result<Option<(Option<String>, Level)>, StoreError> {
    let policy = match past::night(store, Some(night.id)) {
        Ok((_, policy)) => policy,
        Err(PastError::Store(error)) => return Err(error),
        Err(PastError::Policy { .. } | PastError::NoNight(_) | PastError::NoNights) => return Ok(None),
    };
    let Some((component, level)) = baseline(store, &night.context, &policy)? else { return Ok(None) };
    let record = store.component(&component)?;
    let source = record.map(|record| text_of(store, &record.source_blob)).transpose()?.flatten();
    Ok(Some((source, level)))
}
