//! What a measured run starts from.

use kernels::session::{Batches, NamedState};

/// What a run starts from.
pub struct Start {
    /// Values of named state instead of the guest's own.
    pub state: NamedState,
    /// Training text.
    pub batches: Box<dyn Batches>,
}
