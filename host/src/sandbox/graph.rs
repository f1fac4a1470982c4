//! Records one `forward` without executing it, and gives it as a graph.

use crate::record::outcome::Status;
use crate::sandbox::guest::{self, Called, Guest};
use kernels::causal::{Recorder, Recording};
use kernels::graph::Graph;
use kernels::op::TensorId;
use kernels::session::{Answers, NamedState, Totals};
use kernels::spec::Values;

/// A `forward` on [eval_rows, context] as it was recorded.
pub(super) struct Taken {
    pub recording: Recording,
    /// The logits.
    pub output: TensorId,
    pub totals: Totals,
    /// Whether the guest drew random bytes.
    pub is_random: bool,
}

impl Guest {
    /// Records one `forward`.
    ///
    /// # Errors
    /// The guest's fault.
    pub(super) fn record_forward(&self, state: &NamedState) -> Result<Taken, Status> {
        let (recorder, take) = Recorder::new();
        let spec = self.evaluation_tokens()?;
        let values = Values::none(spec.dtype);
        let Called { mut session, output, is_random } =
            self.run_forward(state, spec, values, 0, Box::new(recorder), Answers::Execute)?;
        session.flush().map_err(guest::fault)?;
        Ok(Taken { recording: take(), output, totals: session.totals(), is_random })
    }

    /// The graph of `forward`; `None` if it reads values, so that it is another one for another text.
    ///
    /// # Errors
    /// The guest's fault.
    pub fn graph(&self, state: &NamedState) -> Result<Option<Graph>, Status> {
        let Taken { recording, output, totals, .. } = self.record_forward(state)?;
        Ok((totals.reads == 0).then(|| Graph::new(recording, output)))
    }
}
