//! A night of the store and the policy that it ran by.

use crate::policy::{Policy, PolicyError};
use crate::record::key::TaskHash;
use crate::record::retention::Retention;
use crate::record::store::{NightRecord, Store, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the policy of night {night} cannot be read by this version: {source}")]
    Policy { night: i64, source: Box<PolicyError> },
    #[error("the store has no night {0}; `host log` lists nights")]
    NoNight(i64),
    #[error(
        "the store has no night yet: one begins when its baseline is measured; `host run --policy smoke` makes one"
    )]
    NoNights,
}

/// The rules of the last night's policy for weights; the default rules if there is none that this version can read.
pub fn retention(store: &Store) -> Result<Retention, StoreError> {
    match night(store, None) {
        Ok((_, policy)) => Ok(policy.store),
        Err(PastError::Store(error)) => Err(error),
        Err(PastError::Policy { .. } | PastError::NoNight(_) | PastError::NoNights) => Ok(Retention::default()),
    }
}

/// The task of the last night that took submissions: new ones have to be for it.
pub fn inbox_task(store: &Store) -> Result<Option<TaskHash>, StoreError> {
    for NightRecord { id, task, .. } in store.nights()?.into_iter().rev() {
        match night(store, Some(id)) {
            Ok((_, policy)) if policy.takes_submissions() => return Ok(Some(task)),
            Err(PastError::Store(error)) => return Err(error),
            Ok(_) | Err(PastError::Policy { .. } | PastError::NoNight(_) | PastError::NoNights) => {}
        }
    }
    Ok(None)
}

/// The night with this number, or the last night.
///
/// # Errors
/// If the store has no such night, or if the store or the night's policy cannot be read.
pub fn night(store: &Store, number: Option<i64>) -> Result<(NightRecord, Policy), PastError> {
    let mut nights = store.nights()?;
    let night = match number {
        Some(number) => nights.into_iter().find(|night| night.id == number).ok_or(PastError::NoNight(number))?,
        None => nights.pop().ok_or(PastError::NoNights)?,
    };
    let text = String::from_utf8_lossy(&store.get_blob(&night.policy_blob)?).into_owned();
    let policy = Policy::parse(&night.policy_name, &text);
    let policy = policy.map_err(|source| PastError::Policy { night: night.id, source: Box::new(source) })?;
    Ok((night, policy))
}
