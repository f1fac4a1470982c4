//! Start values of a measured run.

use kernels::session::{Batches, NamedState};

pub struct Start {
    /// Values of named state that replace the guest's own.
    pub state: NamedState,
    /// Training text.
    pub batches: Box<dyn Batches>,
}
