//! The proposer whose mutations are submissions of strangers: each in its turn, as it came.

use crate::propose::description;
use crate::propose::proposer::{Desk, HYPOTHESIS_CHARS, Proposal, ProposeError, Proposer, Situation};
use crate::record::quotas::Quotas;
use crate::record::store::Store;
use crate::system::clock::unix_ms;
use crate::system::sanitize;

pub struct Inbox {
    store: Store,
    quotas: Quotas,
}

impl Inbox {
    /// Its name in policies, logs and the store.
    pub const NAME: &'static str = "inbox";
    /// What its trials are known by: they have nothing in common but the door.
    const OPERATOR: &'static str = "submission";

    pub fn new(store: Store, quotas: Quotas) -> Self {
        Self { store, quotas }
    }
}

impl Proposer for Inbox {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// A submission that is not tried now stays in the inbox, and costs nothing.
    fn is_free(&self) -> bool {
        true
    }

    fn is_refilled(&self) -> bool {
        true
    }

    /// It is as it came, and its turn is over once it was given out.
    fn is_of_champion(&self) -> bool {
        false
    }

    fn propose(&mut self, situation: &Situation, _desk: &mut Desk) -> Result<Option<Proposal>, ProposeError> {
        let taken = self.store.take_submission(&situation.task, &self.quotas, unix_ms())?;
        let Some(submission) = taken else { return Ok(None) };
        // The index was checked when it came, so that only a damaged blob is no text.
        let source = String::from_utf8(self.store.get_blob(&submission.source_blob)?);
        let source = source.map_err(|error| ProposeError::Stop(error.to_string()))?;
        Ok(Some(Proposal {
            description: description::describe(&situation.parent.source, &source),
            hypothesis: sanitize::line(&submission.name, HYPOTHESIS_CHARS),
            operator: Self::OPERATOR.into(),
            credit: Some(submission.credit()),
            source,
        }))
    }
}
