//! What is known of `forward` before it sees text.

use kernels::causal::Needs;
use kernels::exec::Executor;
use kernels::session::Totals;

/// Makes executors that compute known values.
pub type Make<'a> = dyn Fn() -> Box<dyn Executor> + 'a;

/// A `forward` that was recorded and not executed.
pub struct Recorded {
    pub totals: Totals,
    /// Whether the guest drew random bytes.
    pub is_random: bool,
    pub proof: Proof,
}

/// Whether it is proved that no logit reads a later token or another row.
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
