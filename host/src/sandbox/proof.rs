//! What is known of `forward` before it sees text.

use kernels::causal::Needs;
use kernels::exec::Executor;

/// Makes executors that compute known values.
pub type Make<'a> = dyn Fn() -> Box<dyn Executor> + 'a;

/// What is known of `forward` before it sees text.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// It holds for every run with these records, as long as these needs are met.
    Proved {
        /// Hash of the records.
        records: [u8; 32],
        needs: Needs,
    },
    /// There is none.
    Missing {
        /// The reason, with the guest's line.
        why: String,
    },
}
