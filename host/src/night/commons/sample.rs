//! Which findings are run again, and what that shows. The sample is drawn from the system's random numbers, so that no
//! lab can know which of its claims will be looked at.

use crate::community::{Finding, Signed};
use crate::experiment::replay::ReplayError;
use crate::night::commons::draw::Draw;
use crate::night::commons::error::CommonsError;
use crate::night::setup::Power;
use crate::night::verify::{Proof as Attempt, Statement, VerifyError};
use crate::record::store::Store;
use crate::sandbox::Progress;
use std::collections::BTreeMap;

/// Most findings of a lab that are run again at once: a lab that publishes many must not use up the time of others.
const MOST_OF_A_LAB: usize = 10;
/// By what part of a score another compiler may move it: the same operations are rounded in other places. A claim that
/// is further off says what its source does not do.
const MOST_APART: f64 = 0.02;

/// How much is run again.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Of this number of findings of a lab, one.
    pub every: u32,
    /// Most findings in all.
    pub replays: u32,
    /// Threads of the tensor engine: what strangers wrote is run on the processor alone.
    pub threads: Option<u32>,
}

/// The findings that are run again, in their order: of each lab one of `every`, rounded up, and labs take turns, so
/// that each has one before one has two. `labs` has the lab of each finding.
pub fn draw(labs: &[String], how: Sample, draw: &Draw) -> Vec<usize> {
    let mut of_lab = BTreeMap::<&str, Vec<usize>>::new();
    for (at, lab) in labs.iter().enumerate() {
        of_lab.entry(lab).or_default().push(at);
    }
    let mut drawn = Vec::new();
    for (lab, mut places) in of_lab {
        let count = places.len().div_ceil(how.every.max(1) as usize).min(MOST_OF_A_LAB);
        places.sort_by_key(|place| draw.rank(&place.to_le_bytes()));
        drawn.extend(
            places.into_iter().take(count).enumerate().map(|(round, place)| (round, draw.rank(lab.as_bytes()), place)),
        );
    }
    drawn.sort_unstable();
    drawn.into_iter().take(how.replays as usize).map(|(.., place)| place).collect()
}

/// What running a finding again shows.
pub enum Shown {
    Holds,
    /// The compiler here makes another component of its source, whose score is about the one that is claimed.
    Near,
    Refuted(String),
    /// Its source does not compile, or what it compiles to has no score.
    Unfit(String),
    /// Nothing: the machine could not finish.
    Fault(String),
}

pub fn run_again(
    store: &Store,
    signed: &Signed<Finding>,
    source: &str,
    threads: Option<u32>,
    watch: &mut dyn FnMut(&Progress),
) -> Result<Shown, CommonsError> {
    let statement = Statement::of_finding(signed, Some(source.to_owned()));
    let attempt =
        statement.attempt(&signed.text.evidence, store.twin()?, (None, None, Power::of_threads(threads)), watch);
    Ok(match attempt {
        Ok(Attempt::Ran(replay)) => match replay.difference {
            None => Shown::Holds,
            Some(difference) => Shown::Refuted(difference),
        },
        Ok(Attempt::OtherComponent { bpb, .. }) => compare(signed.text.bpb, bpb),
        Err(VerifyError::Compile(unfit)) if unfit.stage().is_some() => {
            Shown::Unfit(format!("does not compile here: {unfit}"))
        }
        Err(VerifyError::Compile(unfit)) => Shown::Fault(unfit.to_string()),
        Err(VerifyError::Replay(ReplayError::Host(reason))) => Shown::Fault(reason),
        Err(error) => return Err(error.into()),
    })
}

/// What the score of another component than the one that is claimed shows. One that is worse here may be so by chance.
fn compare(claimed: f64, found: Option<f64>) -> Shown {
    let by = "by the component that its source compiles to here";
    match found {
        None => Shown::Unfit(format!("has no score {by}")),
        Some(found) if claimed < found * (1.0 - MOST_APART) => {
            Shown::Refuted(format!("bits per byte are {found} {by}, and {claimed} was claimed"))
        }
        Some(_) => Shown::Near,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(labs: &[&str], every: u32, replays: u32) -> Vec<usize> {
        let labs: Vec<String> = labs.iter().map(|lab| (*lab).to_owned()).collect();
        draw(&labs, Sample { every, replays, threads: None }, &Draw::new().unwrap())
    }

    #[test]
    fn of_each_lab_one_at_least_is_run_again() {
        let labs = ["a", "a", "b", "a", "a", "a"];
        let some = drawn(&labs, 4, 100);
        let of = |lab: &str| some.iter().filter(|at| labs[**at] == lab).count();
        assert_eq!((of("a"), of("b")), (2, 1));
        let mut all = drawn(&labs, 1, 100);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        assert_eq!(drawn(&[], 4, 100), [0; 0]);
        let several: std::collections::BTreeSet<_> = (0..64).map(|_| drawn(&labs, 4, 100)).collect();
        assert!(several.len() > 1, "which ones is not known before");
    }

    #[test]
    fn what_is_run_at_once_is_bounded_and_labs_take_turns() {
        let mut labs = vec!["flood"; 400];
        assert_eq!(drawn(&labs, 4, 100).len(), MOST_OF_A_LAB);
        labs.extend(["a", "b", "c"]);
        let mut first = drawn(&labs, 1, 4);
        first.sort_unstable();
        assert_eq!((first.len(), &first[1..]), (4, &[400, 401, 402][..]));
        assert_eq!(drawn(&labs, 1, 2).len(), 2);
    }

    #[test]
    fn a_claim_that_another_compiler_cannot_explain_is_refuted() {
        assert!(matches!(compare(2.0, Some(2.0)), Shown::Near));
        assert!(matches!(compare(1.99, Some(2.0)), Shown::Near));
        assert!(matches!(compare(2.5, Some(2.0)), Shown::Near));
        assert!(matches!(compare(1.5, Some(2.0)), Shown::Refuted(_)));
        assert!(matches!(compare(1.5, None), Shown::Unfit(_)));
    }
}
