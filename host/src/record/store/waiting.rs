//! What happens while another program locks the index.

use crate::record::store::error::StoreError;
use std::ops::ControlFlow;
use std::time::Duration;

/// Called about once a second while another program locks the index, with the time waited so far. If it breaks, the
/// wait ends with an error.
pub type Waiting = Box<dyn FnMut(Duration, &StoreError) -> ControlFlow<()> + Send>;

/// How long a store waits for another program's lock, unless [`crate::record::store::Store::on_wait`] says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits in silence, for a while.
pub(super) fn in_silence() -> Waiting {
    Box::new(|waited, _| if waited < PATIENCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
}

/// Gives up when SQLite itself has waited.
pub(super) fn not_at_all() -> Waiting {
    Box::new(|_, _| ControlFlow::Break(()))
}
