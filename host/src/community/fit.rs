//! Whether a receipt can be what it says: an answer to its submission, about a run that ended so. Pure.

use crate::community::form::Signed;
use crate::community::receipt::{ClaimStatus, Measure, Receipt, Rounded, Status};
use crate::community::submission::Submission;
use crate::record::causality::Causality;
use crate::record::ending::Ending;
use crate::record::key::BehaviourKey;
use crate::record::outcome::Outcome;

/// What came out when the run of a receipt was repeated.
#[derive(Debug)]
pub struct Ran<'a> {
    pub outcome: &'a Outcome,
    /// Of its evaluation, if it had one.
    pub causality: Option<Causality>,
    /// Of its dry run; `None` if that fails.
    pub behaviour: Option<BehaviourKey>,
}

impl Receipt {
    /// Why it is no answer to this submission, in words.
    pub fn misfit(&self, submission: &Signed<Submission>) -> Option<String> {
        let Signed { text, by, .. } = submission;
        if self.author != *by {
            return Some(format!("the submission is by the key {by}, and the receipt says {}", self.author));
        }
        let is_for_its_task = text.task == self.task;
        if is_for_its_task == (self.status == Status::OtherTask) {
            let is = if is_for_its_task { "this" } else { "another" };
            return Some(format!("the submission is for {is} task, and the receipt says `{}`", self.status.name()));
        }
        match (&text.claim, self.claim) {
            (None, ClaimStatus::None) | (Some(_), _) => None,
            (None, said) => Some(format!("the submission has no claim, and the receipt says that it {}", said.name())),
        }
    }

    /// Whether the inbox has compared it with a champion.
    pub const fn is_judged(&self) -> bool {
        matches!(self.status, Status::Tried(Ending::Keep | Ending::Discard | Ending::Noise | Ending::Screened))
    }

    /// Why its run did not end so, in words.
    pub fn misfit_of_run(&self, ran: &Ran) -> Option<String> {
        let says = |what: &str| Some(format!("{what}, and the receipt says otherwise"));
        let score = ran.outcome.score.as_ref().map(|score| score.bpb);
        if self.is_judged() && score.is_none() {
            return Some(format!(
                "the run has no score ({}), and the receipt says `{}`",
                ran.outcome.status,
                self.status.name()
            ));
        }
        if self.is_judged() && self.bpb.is_none() {
            return Some(format!("it says `{}`, and gives no bits per byte", self.status.name()));
        }
        if score.is_none() && self.measured.contains(&Measure::SearchSplit) && self.bpb.is_none() {
            return says("nothing was scored on the search split");
        }
        // On one random seed the figure is that of the run.
        let (of_run, said) = (score.and_then(Rounded::new), self.bpb);
        if matches!(self.pairs, None | Some(1)) && said.is_some() && of_run != said {
            let found = of_run.map_or_else(|| "none".into(), |bpb| bpb.to_string());
            let said = said.map(|bpb| bpb.to_string()).unwrap_or_default();
            return Some(format!("bits per byte are {found}, and the receipt says {said}"));
        }
        if self.measured.contains(&Measure::CausalityProved) && ran.causality != Some(Causality::Proved) {
            return says("causality is not proved");
        }
        if self.behaviour_key.is_some() && self.behaviour_key != ran.behaviour {
            return says("the dry run has another behaviour key");
        }
        None
    }

    /// Whether its own run does not tell how it ended: a mutation that failed may have done so on a later random seed.
    pub fn ended_in_another_run(&self, has_score: bool) -> bool {
        self.status == Status::Tried(Ending::Failed) && has_score
    }
}
