//! Whether a guest keeps the rules of a policy: before it is compiled, after its dry run, and after its training.

use crate::experiment::bench::Bench;
use crate::experiment::prepare::{Candidate, Refusal};
use crate::guest::component::{Card, Component};
use crate::guest::source::{Carried, Source};
use crate::record::dry_run::DryRun;
use crate::record::facts::{self, Facts};
use crate::record::outcome::{GuestFault, Outcome, Status};
use crate::record::trial::Findings;

impl Bench {
    /// What a source carries beyond the seed guest.
    ///
    /// # Errors
    /// More than the policy allows.
    pub fn carried(&self, source: &Source) -> Result<Carried, Refusal> {
        let carried = source.carried(self.seed_guest.as_ref().map(|seed| &seed.source))?;
        let cap = self.rules.data_bytes;
        if self.seed_guest.is_none() || carried.bytes() <= cap {
            return Ok(carried);
        }
        Err(Refusal::Rule(format!(
            "the source {}, and the policy allows {} (`data_bytes` in its table `[rules]`): its literals have {}, and \
             its tokens take {} more than the seed guest's when they are compressed; compute tables instead of writing \
             them",
            facts::data_words(carried.bytes()),
            facts::bytes(cap),
            facts::bytes(carried.literals),
            facts::bytes(carried.compressed)
        )))
    }

    /// What a component carries that was sent in the place of a source.
    ///
    /// # Errors
    /// More than the policy allows.
    pub(super) fn carried_in(&self, component: &Component) -> Result<Carried, Refusal> {
        let (bytes, cap) = (component.program_bytes(), self.rules.component_bytes);
        if self.seed_guest.is_none() || bytes <= cap {
            return Ok(Carried::in_component(bytes));
        }
        Err(Refusal::Rule(match cap {
            0 => "the policy tries sources alone (`component_bytes` in its table `[rules]` is 0)".to_owned(),
            cap => format!(
                "the component has {bytes} bytes without custom sections, and the policy allows {cap} \
                 (`component_bytes` in its table `[rules]`)"
            ),
        }))
    }

    /// Training tokens as a share of the seed guest's.
    pub fn share(&self, tokens: u64) -> Option<f64> {
        let seed = self.seed_guest.as_ref().filter(|seed| seed.tokens > 0)?;
        Some(tokens as f64 / seed.tokens as f64)
    }

    /// The share of the seed guest's training tokens that a dry run predicts.
    ///
    /// # Errors
    /// It is certain to be less than the policy demands.
    pub(super) fn expected_share(&self, dry_run: &DryRun) -> Result<Option<f64>, Refusal> {
        let share = self.share(dry_run.train.tokens);
        // A guest that reads values may train longer than its dry run.
        match self.too_little(share) {
            Some(status) if !dry_run.advisory => Err(Refusal::Rule(status.to_string())),
            Some(_) | None => Ok(share),
        }
    }

    /// Notes the share of the seed guest's training tokens that a run has used.
    ///
    /// # Errors
    /// It is less than the policy demands.
    pub fn trained_enough(&self, outcome: &Outcome, found: &mut Findings) -> Result<(), Status> {
        found.trained_share = self.share(outcome.totals.tokens);
        self.too_little(found.trained_share).map_or(Ok(()), Err)
    }

    fn too_little(&self, share: Option<f64>) -> Option<Status> {
        let share = share.filter(|share| *share < self.rules.trained_share)?;
        let message = format!(
            "{}, and the policy demands {} (`trained_share` in its table `[rules]`)",
            facts::trained_words(share),
            facts::percent(self.rules.trained_share)
        );
        Some(Status::guest(GuestFault::TooLittleTraining, message))
    }

    /// What a proposer may know of a candidate before it trains.
    pub fn facts(&self, candidate: &Candidate) -> Facts {
        Facts {
            data_bytes: candidate.carried.bytes(),
            data_cap: match Card::read(&candidate.text) {
                None => self.rules.data_bytes,
                Some(_) => self.rules.component_bytes,
            },
            trained_share: candidate.trained_share,
            ..Facts::new(&candidate.dry_run, self.spec.forward_tokens(), self.forward_ps_per_token)
        }
    }
}
