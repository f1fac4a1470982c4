//! Which findings are run again, and what that shows. The sample is drawn from the system's random numbers, so that no
//! lab can know which of its claims will be looked at.

use crate::community::{Finding, Signed};
use crate::experiment::replay::ReplayError;
use crate::night::commons::draw::Draw;
use crate::night::commons::error::CommonsError;
use crate::night::verify::{Proof as Attempt, Statement, VerifyError};
use crate::record::store::Store;
use crate::sandbox::Progress;
use std::collections::BTreeMap;

/// Most findings of a lab that are run again at once: a lab that publishes many must not use up the time of others.
const MOST_OF_A_LAB: usize = 10;

/// Of each lab's findings, those that are run again: one of `every`, rounded up. `labs` has the lab of each finding.
pub fn draw(labs: &[String], every: u32, draw: &Draw) -> Vec<usize> {
    let mut of_lab = BTreeMap::<&str, Vec<usize>>::new();
    for (at, lab) in labs.iter().enumerate() {
        of_lab.entry(lab).or_default().push(at);
    }
    let mut drawn = Vec::new();
    for mut places in of_lab.into_values() {
        let count = places.len().div_ceil(every.max(1) as usize).min(MOST_OF_A_LAB);
        places.sort_by_key(|place| draw.rank(&place.to_le_bytes()));
        drawn.extend(places.into_iter().take(count));
    }
    drawn.sort_unstable();
    drawn
}

/// What running a finding again shows.
pub enum Shown {
    Holds,
    Refuted(String),
    /// Nothing: the compiler here makes another component of its source.
    Nothing,
    /// Its source does not compile.
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
    let attempt = statement.attempt(&signed.text.evidence, store.twin()?, (None, None, threads), watch);
    Ok(match attempt {
        Ok(Attempt::Ran(replay)) => match replay.difference {
            None => Shown::Holds,
            Some(difference) => Shown::Refuted(difference),
        },
        Ok(Attempt::OtherComponent(_)) => Shown::Nothing,
        Err(VerifyError::Compile(unfit)) if unfit.stage().is_some() => Shown::Unfit(unfit.to_string()),
        Err(VerifyError::Compile(unfit)) => Shown::Fault(unfit.to_string()),
        Err(VerifyError::Replay(ReplayError::Host(reason))) => Shown::Fault(reason),
        Err(error) => return Err(error.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_lab_one_at_least_is_run_again() {
        let labs: Vec<String> = ["a", "a", "b", "a", "a", "a"].map(str::to_owned).into();
        let drawn = draw(&labs, 4, &Draw::new().unwrap());
        let of = |lab: &str| drawn.iter().filter(|at| labs[**at] == lab).count();
        assert_eq!((of("a"), of("b")), (2, 1));
        assert_eq!(draw(&labs, 1, &Draw::new().unwrap()), [0, 1, 2, 3, 4, 5]);
        assert_eq!(draw(&[], 4, &Draw::new().unwrap()), [0; 0]);
        assert_eq!(draw(&vec!["a".to_owned(); 400], 4, &Draw::new().unwrap()).len(), MOST_OF_A_LAB);
        let several: std::collections::BTreeSet<_> = (0..64).map(|_| draw(&labs, 4, &Draw::new().unwrap())).collect();
        assert!(several.len() > 1, "which ones is not known before");
    }
}
