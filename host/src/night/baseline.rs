//! The baseline: the seed guest on several random seeds. Its mean is what a night starts from, its spread the noise.

use super::attempt::lock;
use super::clock::RunClock;
use super::event::Event;
use super::trial::Champion;
use super::{NightError, Stop, random_seed};
use crate::bench::{Bench, describe};
use crate::outcome::{Score, Status};
use crate::policy::Policy;
use std::ops::ControlFlow;

/// The seed guest's scores, one per random seed that the policy asks for; and how many of these runs were not in the
/// store yet. The store is locked for each run, not for all.
pub fn measure(
    bench: &Bench,
    policy: &Policy,
    baseline: &Champion,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
) -> Result<(Vec<Score>, u64), NightError> {
    let replicas = policy.selection.replicas.max(1);
    let (mut scores, mut trained) = (Vec::new(), 0);
    for i in 0..replicas {
        let Some(_lock) = lock(&bench.store, stop, tell)? else { return Err(NightError::Interrupted) };
        tell(Event::Started { number: 0, description: format!("baseline, random seed {} of {replicas}", i + 1) });
        let mut clock = RunClock::default();
        let seed = random_seed(policy, "replica", 0, u64::from(i));
        let run = bench.run(&baseline.candidate, seed, &mut |progress| {
            clock.tell("baseline", &progress, tell);
            if stop.now() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        trained += u64::from(run.wall.is_some());
        match (run.outcome.status, run.outcome.score) {
            (Status::Completed, Some(score)) => scores.push(score),
            _ if stop.now() => return Err(NightError::Interrupted),
            (status, _) => return Err(NightError::SeedGuest(describe(&status))),
        }
    }
    Ok((scores, trained))
}
