//! What a night takes up from the store: the trials on its terms, the champion among them, and the proposals that were
//! never tried.

use crate::experiment::prepare::{Candidate, Refusal};
use crate::guest::component::Card;
use crate::guest::source::Source;
use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::memory;
use crate::night::recorded::Again;
use crate::night::run::Night;
use crate::night::trial::champion::Champion;
use crate::night::turns::roster::Roster;
use crate::night::turns::turn::Draft;
use crate::propose::proposer::Proposal;
use crate::record::key::ContextKey;
use crate::record::store::{TrialRecord, Untried};
use crate::record::trial::Trial;

impl Night<'_> {
    pub(super) fn tell_what_was_taken_up(&mut self) {
        let trials = self.memory.past.len() - 1;
        if trials == 0 {
            return;
        }
        (self.tell)(Event::Setup { what: "going on", text: format!("after {trials} earlier trials") });
        if self.champion.trial > 0 {
            let text = format!("#{} {:.4}: {}", self.champion.trial, self.champion_bpb, self.champion.description);
            (self.tell)(Event::Setup { what: "champion", text });
        }
    }

    /// Reads the trials that the recorded night started with.
    pub(super) fn take_up_before(&mut self, terms: &ContextKey, again: Again) -> Result<(), NightError> {
        let mut trials = self.bench.store.trials_in(terms)?;
        trials.retain(|record| record.id < again.first_trial);
        self.before += trials.len();
        self.take_up_trials(trials)
    }

    /// Reads the trials that any process has recorded on the same terms since the last call.
    pub(super) fn take_up(&mut self) -> Result<(), NightError> {
        let trials = self.bench.store.trials_after(&self.context, self.memory.last)?;
        self.take_up_trials(trials)
    }

    /// If it fails, the next call goes on where it stopped.
    fn take_up_trials(&mut self, trials: Vec<TrialRecord>) -> Result<(), NightError> {
        self.memory.remember_all(&self.bench.store, trials)?;
        let new = self.memory.past.iter().skip(self.followed).map(|past| &past.trial);
        let kept: Vec<Trial> =
            new.filter(|trial| trial.number > self.parent.0.trial && trial.is_kept()).cloned().collect();
        for trial in kept.iter().rev() {
            let Some((champion, bpb)) = self.reinstated(trial)? else { continue };
            let is_source = champion.is_source();
            if trial.number > self.champion.trial {
                self.crown(champion, bpb);
            } else if is_source {
                self.parent = (champion, bpb);
            }
            if is_source {
                break;
            }
        }
        self.followed = self.memory.past.len();
        Ok(())
    }

    /// The champion that a kept trial made, with its score. None, with a note to the user, if it cannot be made again;
    /// the caller then tries the kept trial before it.
    ///
    /// # Errors
    /// The machine failed; this says nothing about the trial.
    fn reinstated(&mut self, trial: &Trial) -> Result<Option<(Champion, f64)>, NightError> {
        let prepared = self.prepare_again(trial)?;
        let scored = trial.found.bpb.ok_or_else(|| "the store does not have its score".to_owned());
        let (candidate, bpb) = match prepared.and_then(|candidate| Ok((candidate, scored?))) {
            Ok(found) => found,
            Err(reason) => {
                let text = format!("champion #{} is passed over: {reason}", trial.number);
                (self.tell)(Event::Note { text });
                return Ok(None);
            }
        };
        Ok(Some((Champion { trial: trial.number, candidate, description: trial.description.clone() }, bpb)))
    }

    /// The candidate of an earlier trial, or why it is none any more.
    ///
    /// # Errors
    /// The machine failed; this says nothing about the trial.
    pub(super) fn prepare_again(&self, trial: &Trial) -> Result<Result<Candidate, String>, NightError> {
        let Some(text) = memory::source_of(&self.bench.store, trial)? else {
            return Ok(Err("its source is damaged or missing in the store".into()));
        };
        match self.bench.prepare(&text) {
            Err(Refusal::Bench(error)) => Err(error.into()),
            Err(refusal) if refusal.stage().is_none() => Err(NightError::Machine(refusal.to_string())),
            prepared => Ok(prepared.map_err(|refusal| refusal.to_string())),
        }
    }

    /// Reads the proposals on these terms that were never tried, because their night was killed or the machine failed,
    /// and gives them back to their authors. Those of authors who are not in this night come first.
    pub(super) fn take_up_pending(&mut self, roster: &mut Roster) -> Result<(), NightError> {
        let mut count = 0;
        for untried in self.bench.store.untried(&self.context)? {
            let id = untried.id;
            match self.pending_draft(untried)? {
                Some(draft) => {
                    self.pending.extend(roster.give_back(draft));
                    count += 1;
                }
                None => self.bench.store.withdraw(id)?,
            }
        }
        if count > 0 {
            let text = match count {
                1 => "1 proposal that was not tried yet comes first".to_owned(),
                count => format!("{count} proposals that were not tried yet come first"),
            };
            (self.tell)(Event::Setup { what: "going on", text });
        }
        Ok(())
    }

    /// None if the store has lost its source.
    fn pending_draft(&self, untried: Untried) -> Result<Option<Draft>, NightError> {
        let Untried { id, proposer, parent, source, hypothesis, description, operator, credit } = untried;
        let Some(source) = memory::text_of(&self.bench.store, &source)? else { return Ok(None) };
        let of_source = || Source::parse(&source).ok().map(|source| source.key());
        let source_key = Card::read(&source).map(|card| card.key()).or_else(of_source);
        let proposal = Proposal { source, hypothesis, description, operator, credit };
        Ok(Some(Draft { author: proposer, parent, proposal, id: Some(id), source_key, fault: None }))
    }
}
