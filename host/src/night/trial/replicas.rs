//! Trains one guest on several random seeds. Judges nothing.

use crate::experiment::batch::Run;
use crate::experiment::bench::Bench;
use crate::experiment::prepare::Candidate;
use crate::experiment::runner::Experiment;
use crate::guest::component::Component;
use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::lock::lock;
use crate::night::rest::{Rest, SHORT_PATIENCE};
use crate::night::stop::Stop;
use crate::night::trial::runs::Runs;
use crate::night::trial::seeds::random_seeds;
use crate::policy::Policy;
use crate::record::outcome::Status;

pub(in crate::night) struct Replicas<'a> {
    pub bench: &'a Bench,
    /// Whose runs they are, for watchers.
    pub who: &'a str,
    pub component: &'a Component,
    pub stop: &'a Stop,
}

impl Replicas<'_> {
    /// Trains on each random seed, unless the store has the run, and hands the runs to `each` in order. Each batch of
    /// runs locks the store separately.
    ///
    /// # Errors
    /// Of the machine, of `each`, or that the user stopped it.
    pub fn train(
        &self,
        seeds: &[u64],
        tell: &mut dyn FnMut(Event),
        each: &mut dyn FnMut(Run) -> Result<(), NightError>,
    ) -> Result<(), NightError> {
        let Self { bench, who, component, stop } = *self;
        let experiment = |&random_seed: &u64| (who.to_owned(), Experiment { component, random_seed });
        let mut runs = Runs::new(bench, stop, seeds.iter().map(experiment));
        for number in 1..=seeds.len() {
            let lock = if stop.soon() { None } else { lock(&bench.store, stop, tell)? };
            let Some(_lock) = lock else { return Err(NightError::Interrupted) };
            tell(Event::Started { number: 0, description: format!("{who}, random seed {number} of {}", seeds.len()) });
            let Some(run) = runs.next(tell)? else { break };
            match &run.outcome.status {
                Status::HostFault { .. } if stop.now() => return Err(NightError::Interrupted),
                status @ Status::HostFault { .. } => {
                    return Err(NightError::Machine(format!("{who} was not trained: {status}")));
                }
                Status::Completed | Status::GuestFault { .. } => each(run)?,
            }
        }
        Ok(())
    }
}

/// Trains and scores a candidate on the first `count` random seeds of a policy, which are those of its baseline. There
/// is no verdict. A failed run counts as a result.
///
/// # Errors
/// The machine failed for longer than somebody waits, or the user stopped it.
pub fn score(
    bench: &Bench,
    policy: &Policy,
    candidate: &Candidate,
    count: u32,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
) -> Result<Vec<Run>, NightError> {
    let mut runs = Vec::new();
    let replicas = Replicas { bench, who: "score", component: &candidate.component, stop };
    Rest::new(SHORT_PATIENCE).patiently(stop, tell, &mut |tell| {
        runs.clear();
        replicas.train(&random_seeds(policy, count), tell, &mut |run| {
            runs.push(run);
            Ok(())
        })
    })?;
    Ok(runs)
}
