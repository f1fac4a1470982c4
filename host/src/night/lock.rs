//! Waits for the store's lock, which one process holds at a time.

use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::stop::Stop;
use crate::record::store::{RunLock, Store};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A wait longer than this is reported to the user.
const LONG_WAIT: Duration = Duration::from_secs(2);

/// Takes the store's lock. Returns `None` if the user stops the wait.
pub(super) fn lock(store: &Store, stop: &Stop, tell: &mut dyn FnMut(Event)) -> Result<Option<RunLock>, NightError> {
    let (since, mut told) = (Instant::now(), false);
    let lock = store.wait_to_run(&mut |held| {
        if !told && since.elapsed() > LONG_WAIT {
            tell(Event::Note { text: format!("waiting: {held}") });
            told = true;
        }
        if stop.soon() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(lock)
}
