//! Answers that were asked for and never tried, because a night ended or was killed too early. They were paid for, so
//! the next night on these terms tries them first.

use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::run::Night;
use crate::night::turn::Draft;
use crate::propose::proposer::Proposal;
use std::collections::VecDeque;

impl Night<'_> {
    /// The untried answers, oldest first. One whose text is lost is passed over.
    pub(super) fn untried(&mut self) -> Result<VecDeque<Draft>, NightError> {
        let store = &self.bench.store;
        let mut drafts = VecDeque::new();
        for answer in store.untried_answers(&self.context)? {
            let Ok(Ok(source)) = store.get_blob(&answer.blob).map(String::from_utf8) else { continue };
            let proposal = Proposal {
                source,
                hypothesis: answer.hypothesis,
                description: answer.description,
                operator: answer.operator,
            };
            let (author, parent, id) = (answer.proposer, answer.parent, Some(answer.id));
            drafts.push_back(Draft { author, parent, proposal, id, source_key: None, fault: None });
        }
        if !drafts.is_empty() {
            let text = format!("{} that an earlier night asked for and did not try", drafts.len());
            (self.tell)(Event::Setup { what: "first", text });
        }
        Ok(drafts)
    }
}
