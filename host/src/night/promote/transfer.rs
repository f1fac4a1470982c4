//! What a gain on small terms is worth on larger ones. Pure.

use serde::Serialize;

/// Standard errors beyond which a gain is told from chance.
const ERRORS: f64 = 2.0;

/// A mean gain in bits per byte over random seeds. Positive is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gain {
    pub gain: f64,
    /// Its standard error; `None` for one random seed.
    pub error: Option<f64>,
}

/// Whether a gain is there on the larger terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holds {
    /// It is a gain beyond two standard errors.
    Yes,
    /// It is a loss beyond two standard errors.
    No,
    /// Neither is sure.
    Unclear,
}

impl Gain {
    /// From the differences on each random seed; `None` without any.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let n = differences.len() as f64;
        let gain = differences.iter().sum::<f64>() / n;
        let squares: f64 = differences.iter().map(|one| (one - gain).powi(2)).sum();
        let error = (differences.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt());
        (!differences.is_empty()).then_some(Self { gain, error })
    }

    pub fn holds(&self) -> Holds {
        match self.error.map(|error| ERRORS * error) {
            Some(sure) if self.gain > sure => Holds::Yes,
            Some(sure) if self.gain < -sure => Holds::No,
            _ => Holds::Unclear,
        }
    }
}

/// All keeps taken together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Transfer {
    /// Keeps that ran alone, and how many of them gain at all on the larger terms.
    pub alone: usize,
    pub signs_agree: usize,
    /// Of the gain of these keeps on the small terms, the share that they have on the larger ones.
    pub share_alone: Option<f64>,
    /// The sum of their gains on the larger terms.
    pub sum: Option<Gain>,
    /// The gain of all keeps together.
    pub together: Option<Gain>,
    /// Of the gain of all keeps on the small terms, the share that they have together.
    pub share_together: Option<f64>,
    /// Whether the gains add up within two standard errors; `None` if a keep did not run alone, or nothing is known.
    pub adds_up: Option<bool>,
}

impl Transfer {
    /// From the gain of each keep on the small terms and alone on the larger ones, and the gain of all.
    pub fn of(keeps: &[(f64, Option<Gain>)], together: Option<Gain>) -> Self {
        let ran: Vec<(f64, Gain)> = keeps.iter().filter_map(|(small, alone)| Some((*small, (*alone)?))).collect();
        let share = |large: f64, small: f64| (small > 0.0).then(|| large / small);
        let small_of_ran: f64 = ran.iter().map(|(small, _)| small).sum();
        let small_of_all: f64 = keeps.iter().map(|(small, _)| small).sum();
        let gain: f64 = ran.iter().map(|(_, alone)| alone.gain).sum();
        let squares = ran.iter().map(|(_, alone)| alone.error.map(|error| error * error)).sum::<Option<f64>>();
        let sum = (!ran.is_empty()).then_some(Gain { gain, error: squares.map(f64::sqrt) });
        let difference = sum.zip(together).filter(|_| ran.len() == keeps.len());
        let adds_up = difference.and_then(|(sum, together)| {
            let error = (sum.error?.powi(2) + together.error?.powi(2)).sqrt();
            Some((sum.gain - together.gain).abs() <= ERRORS * error)
        });
        Self {
            alone: ran.len(),
            signs_agree: ran.iter().filter(|(_, alone)| alone.gain > 0.0).count(),
            share_alone: share(gain, small_of_ran),
            sum,
            together,
            share_together: together.and_then(|together| share(together.gain, small_of_all)),
            adds_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain(gain: f64, error: f64) -> Gain {
        Gain { gain, error: Some(error) }
    }

    #[test]
    fn a_gain_is_a_mean_with_its_error() {
        let found = Gain::of(&[0.01, 0.03]).unwrap();
        assert!((found.gain - 0.02).abs() < 1e-12 && (found.error.unwrap() - 0.01).abs() < 1e-12, "{found:?}");
        assert_eq!((Gain::of(&[0.5]).unwrap().error, Gain::of(&[])), (None, None));
    }

    #[test]
    fn what_holds_is_beyond_two_errors() {
        let holds = [gain(0.03, 0.01), gain(-0.03, 0.01), gain(0.01, 0.01)].map(|gain| gain.holds());
        assert_eq!(holds, [Holds::Yes, Holds::No, Holds::Unclear]);
        assert_eq!(Gain { gain: 1.0, error: None }.holds(), Holds::Unclear, "one seed tells nothing");
    }

    #[test]
    fn signs_shares_and_the_sum_are_of_the_keeps_that_ran() {
        let keeps = [(0.2, Some(gain(0.1, 0.003))), (0.02, Some(gain(-0.01, 0.004))), (0.01, None)];
        let found = Transfer::of(&keeps, Some(gain(0.115, 0.001)));
        assert_eq!((found.alone, found.signs_agree, found.adds_up), (2, 1, None));
        assert!((found.share_alone.unwrap() - 0.09 / 0.22).abs() < 1e-12, "{found:?}");
        assert!((found.sum.unwrap().error.unwrap() - 0.005).abs() < 1e-12, "{found:?}");
        assert!((found.share_together.unwrap() - 0.5).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn gains_add_up_within_their_error() {
        let keeps = [(0.2, Some(gain(0.1, 0.003))), (0.02, Some(gain(0.02, 0.004)))];
        let adds_up = |together| Transfer::of(&keeps, Some(gain(together, 0.001))).adds_up;
        assert_eq!([adds_up(0.115), adds_up(0.08)], [Some(true), Some(false)]);
        assert_eq!(Transfer::of(&[], None).adds_up, None);
    }
}
