//! Proves from the records of `forward` that a model reads no later token and no other row, or says what is in the way.

use crate::record::outcome::{GuestFault, Status};
use crate::sandbox::graph::Taken;
use crate::sandbox::guest::{self, Guest};
use crate::sandbox::proof::{Make, Proof, Recorded};
use kernels::causal::{self, Finding, Leak, Source, Why};
use kernels::session::NamedState;

impl Guest {
    /// Records one `forward` on [eval_rows, context] without executing it, and looks for the proof.
    ///
    /// # Errors
    /// The guest's fault. A logit that depends on a later token or on another row is one.
    pub fn prove(&self, state: &NamedState, make: &Make) -> Result<Recorded, Status> {
        let spec = self.evaluation_tokens()?;
        let Taken { recording, output, totals, is_random } = self.record_forward(state)?;
        let recorded = |proof| Ok(Recorded { totals: totals.clone(), is_random, proof });
        let missing = |why: String| recorded(Proof::Missing { why });
        if totals.reads > 0 {
            return missing("`forward` reads values, so that its operations depend on the text".into());
        }
        let buffers = state.tensors.iter().map(|(_, parameter, ..)| !parameter).collect();
        let source = Source { recording, buffers, output };
        let at = |leak: &Leak| {
            let place = self.forward_place(leak.index, state, spec.clone());
            place.map(|place| format!("\n  {place}")).unwrap_or_default()
        };
        match causal::prove(&source, &|| make()).map_err(guest::fault)? {
            Finding::Proved(needs) => recorded(Proof::Proved { records: totals.op_hash, needs }),
            Finding::LooksAhead(leak) => {
                let Leak { op, position, latest, .. } = leak;
                let text = format!(
                    "{op}: the logits at position {position} depend on the token at position {latest}, which comes later{}",
                    at(&leak)
                );
                Err(Status::guest(GuestFault::LooksAhead, text))
            }
            Finding::MixesRows(leak) => {
                let text = format!("{}: the logits of a row depend on other rows{}", leak.op, at(&leak));
                Err(Status::guest(GuestFault::MixesRows, text))
            }
            Finding::Unproved(Why::Op { leak, rows }) => {
                let what = if rows { "mix rows" } else { "read later tokens" };
                missing(format!("{} may {what}: that depends on values{}", leak.op, at(&leak)))
            }
            Finding::Unproved(Why::TooLarge) => missing("the tensors of `forward` are too large for a proof".into()),
        }
    }
}
