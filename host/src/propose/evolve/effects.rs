//! What operators did in recorded trials. Pure.

use crate::record::ending::Ending;
use crate::record::facts::signed;
use crate::record::trial::Trial;
use serde::Serialize;

/// What one operator did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Effect {
    /// Trials, but for those that only the machine ended.
    pub tries: u32,
    pub kept: u32,
    /// Trials without a score: refused, failed, or the same as an earlier one.
    pub unscored: u32,
    /// Mean difference to the champion of the time in bits per byte, weighted by the random seeds behind it. Negative
    /// is better.
    pub delta: Option<f64>,
    /// Its standard error, from the scatter between trials, or between the random seeds of a single one.
    pub error: Option<f64>,
}

impl Effect {
    /// The difference with its error: `−0.0040 ± 0.0020`, or `–` if there is none.
    pub fn words(&self) -> String {
        match (self.delta, self.error) {
            (Some(delta), Some(error)) => format!("{} ± {error:.4}", signed(delta)),
            (Some(delta), None) => signed(delta),
            (None, _) => "–".into(),
        }
    }
}

/// A scored trial: its difference, its random seeds, and how much the difference scatters between them.
struct Scored {
    delta: f64,
    pairs: f64,
    spread: Option<f64>,
}

/// What the operator did in these trials.
pub fn effect<'a>(operator: &str, trials: impl Iterator<Item = &'a Trial>) -> Effect {
    let mut effect = Effect::default();
    let mut scored = Vec::new();
    for trial in trials.filter(|trial| trial.number > 0 && trial.operator == operator) {
        let found = &trial.found;
        if found.verdict == Ending::HostFault {
            continue;
        }
        effect.tries += 1;
        effect.kept += u32::from(trial.is_kept());
        match found.delta.filter(|delta| delta.is_finite()) {
            Some(delta) => {
                scored.push(Scored { delta, pairs: f64::from(found.pairs.unwrap_or(1)), spread: found.spread })
            }
            None => effect.unscored += 1,
        }
    }
    (effect.delta, effect.error) = mean(&scored);
    effect
}

fn mean(scored: &[Scored]) -> (Option<f64>, Option<f64>) {
    let weight: f64 = scored.iter().map(|one| one.pairs).sum();
    if weight <= 0.0 {
        return (None, None);
    }
    let mean = scored.iter().map(|one| one.pairs * one.delta).sum::<f64>() / weight;
    let error = match scored {
        [one] => one.spread.map(|spread| spread / one.pairs.sqrt()),
        all => {
            let squares: f64 = all.iter().map(|one| one.pairs * (one.delta - mean).powi(2)).sum();
            Some((squares / (all.len() as f64 - 1.0) / weight).sqrt())
        }
    };
    (Some(mean), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::trial::Findings;

    fn trial(operator: &str, verdict: Ending, delta: Option<f64>, pairs: u32) -> Trial {
        let found = Findings { delta, pairs: Some(pairs), ..Findings::new(verdict) };
        Trial { number: 1, operator: operator.into(), ..Trial::baseline("", found) }
    }

    #[test]
    fn effects_are_means_over_random_seeds() {
        let trials = [
            trial("smear", Ending::Keep, Some(-0.04), 3),
            trial("smear", Ending::Discard, Some(0.0), 1),
            trial("smear", Ending::Failed, None, 0),
            trial("smear", Ending::HostFault, None, 0),
            trial("batch", Ending::Discard, Some(0.5), 1),
        ];
        let found = effect("smear", trials.iter());
        assert_eq!((found.tries, found.kept, found.unscored), (3, 1, 1));
        assert!((found.delta.unwrap() + 0.03).abs() < 1e-12);
        // √((3·0.01² + 1·0.03²)/1/4)
        assert!((found.error.unwrap() - 0.0003f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_single_trial_has_the_error_of_its_random_seeds() {
        let mut one = trial("smear", Ending::Keep, Some(-0.04), 4);
        assert_eq!(effect("smear", [&one].into_iter()).error, None);
        one.found.spread = Some(0.01);
        assert_eq!(effect("smear", [&one].into_iter()).error, Some(0.005));
        assert_eq!(effect("batch", [&one].into_iter()), Effect::default());
    }
}
