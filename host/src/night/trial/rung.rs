//! Rungs: complete shorter runs, with a whole schedule of their own, by which candidates are sorted before they train
//! for the night's budget. A rung can only drop a candidate. Its figures are of another kind than those of a trial, so
//! they decide nothing else.

use crate::experiment::bench::Bench;
use crate::experiment::judge::Noise;
use crate::night::error::NightError;
use crate::night::event::Event;
use crate::night::rest::Rest;
use crate::night::stop::Stop;
use crate::night::trial::baseline;
use crate::night::trial::champion::Champion;
use crate::policy::Policy;

pub struct Rung {
    /// The night's bench, with a smaller budget.
    pub bench: Bench,
    /// This budget in seconds.
    pub seconds: f64,
    /// Noise of a score at this budget.
    pub noise: Noise,
}

/// The rungs of a policy, shortest first, and the number of runs that measured their noise.
pub(in crate::night) fn open(
    bench: &Bench,
    policy: &Policy,
    baseline: &Champion,
    rest: &mut Rest,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
) -> Result<(Vec<Rung>, u64), NightError> {
    let (mut rungs, mut runs) = (Vec::new(), 0);
    for &seconds in &policy.selection.rungs {
        let mut bench = bench.twin()?;
        bench.spec.budget_ps = (seconds * 1e12) as u64;
        let (scores, trained) = baseline::measure(&bench, policy, baseline, rest, stop, tell)?;
        let (figures, noise) = baseline::figures(&bench, &scores);
        let text = format!("{seconds} s: baseline {:.4} ± {:.4}", figures.bpb, figures.noise);
        tell(Event::Setup { what: "rung", text });
        runs += trained;
        rungs.push(Rung { bench, seconds, noise });
    }
    Ok((rungs, runs))
}
