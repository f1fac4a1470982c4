//! What a dry run found and a run logged, as whoever writes the next mutation reads it: steps, sizes, where the budget goes,
//! how the loss fell. Pure.

use crate::record::dry_run::DryRun;
use kernels::session::{LOSS, LogPoint, Totals};
use serde::Serialize;

/// Parts of a run whose losses are told.
const PARTS: usize = 8;

/// A class of op below this share of the budget is not worth a word.
const SMALL_SHARE: f64 = 0.005;

/// A training run before it is trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Steps that fit into the budget.
    pub steps: u64,
    /// Tokens drawn in them.
    pub tokens: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Elements of named parameters.
    pub parameters: u64,
    /// Most tensor bytes alive at once.
    pub peak_bytes: u64,
    /// Records of the whole run.
    pub ops: u64,
    /// Deterministic seconds used.
    pub seconds: f64,
    /// Share of them by class of op, largest first.
    pub shares: Vec<Share>,
    /// Cost of `forward` in picoseconds per token.
    pub forward_ps_per_token: u64,
    /// The most that it may cost; 0: no bound.
    pub forward_cap_ps_per_token: u64,
    /// The guest reads values: a dry run can only guess what it does then.
    pub advisory: bool,
}

/// Part of the budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The class of op.
    pub class: String,
    /// 0 to 1.
    pub share: f64,
}

impl Facts {
    /// Of a dry run whose `forward` saw that many tokens and may cost so much for each.
    pub fn new(dry_run: &DryRun, forward_tokens: u64, forward_cap_ps_per_token: u64) -> Self {
        let t = &dry_run.train;
        Self {
            steps: t.steps,
            tokens: t.tokens,
            flops: t.flops,
            parameters: t.parameters,
            peak_bytes: t.peak_bytes,
            ops: t.ops,
            seconds: t.spent_ps as f64 / 1e12,
            shares: shares(t),
            forward_ps_per_token: dry_run.forward_ps_per_token(forward_tokens),
            forward_cap_ps_per_token,
            advisory: dry_run.advisory,
        }
    }

    /// In four lines or five.
    pub fn words(&self) -> String {
        let mut text = format!(
            "{} steps, {} tokens, {:.3} TFLOP, {} parameters\n\
             {:.1} MB of tensors at most; {:.2} s of budget time\n\
             the budget goes to: {}\n\
             forward costs {} ps per token",
            self.steps,
            self.tokens,
            self.flops as f64 / 1e12,
            self.parameters,
            self.peak_bytes as f64 / 1e6,
            self.seconds,
            share_words(&self.shares),
            self.forward_ps_per_token,
        );
        if self.forward_cap_ps_per_token > 0 {
            let share = self.forward_ps_per_token as f64 / self.forward_cap_ps_per_token as f64;
            text += &format!(", {:.0}% of the {} that it may", share * 100.0, self.forward_cap_ps_per_token);
        }
        if self.advisory {
            text += "\nthe guest reads values, so these figures are estimates";
        }
        text
    }
}

/// Where the time of a run goes, the largest share first.
pub fn shares(totals: &Totals) -> Vec<Share> {
    let total = totals.spent_ps.max(1) as f64;
    let mut shares: Vec<Share> = (totals.spent_by_class.iter())
        .map(|(class, ps)| Share { class: class.clone(), share: *ps as f64 / total })
        .filter(|share| share.share >= SMALL_SHARE)
        .collect();
    shares.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.class.cmp(&b.class)));
    shares
}

/// `product 71%, attention 20%`.
pub fn share_words(shares: &[Share]) -> String {
    let words: Vec<String> = shares.iter().map(|s| format!("{} {:.0}%", s.class, s.share * 100.0)).collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

/// What a run logged as `loss`, as a few points: the last step of each eighth of them and their mean in it, in nats per
/// token.
pub fn loss_curve(log: &[LogPoint]) -> Vec<(u64, f64)> {
    let losses: Vec<&LogPoint> = log.iter().filter(|point| point.key == LOSS).collect();
    let parts = losses.chunks(losses.len().div_ceil(PARTS).max(1));
    let point = |part: &[&LogPoint]| {
        let mean = part.iter().map(|point| point.value).sum::<f64>() / part.len() as f64;
        part.last().map(|last| (last.step, mean))
    };
    parts.filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::session::Totals;

    #[test]
    fn the_largest_share_comes_first() {
        let spent_by_class = [("copy", 1), ("norm", 300), ("product", 699)].map(|(c, ps)| (c.to_string(), ps)).to_vec();
        let train = Totals { steps: 12, spent_ps: 1000, spent_by_class, ..Totals::default() };
        let forward = Totals { spent_ps: 10, ..Totals::default() };
        let dry_run = DryRun { train, forward, named: Default::default(), advisory: true, fuel: 0 };
        let facts = Facts::new(&dry_run, 4, 12);
        assert_eq!(facts.forward_ps_per_token, 3);
        let words = facts.words();
        assert!(words.starts_with("12 steps") && words.contains("product 70%, norm 30%\n"), "{words}");
        assert!(!words.contains("copy") && words.ends_with("estimates"), "{words}");
        assert!(words.contains("forward costs 3 ps per token, 25% of the 12 that it may"), "{words}");
    }

    #[test]
    fn a_curve_is_the_mean_of_each_eighth() {
        let log = |key: &str, step: u64| LogPoint { key: key.into(), step, value: step as f64 };
        let losses: Vec<_> = (1..=16).flat_map(|step| [log("loss", step), log("other", step)]).collect();
        let curve = loss_curve(&losses);
        assert_eq!((curve.len(), curve[0], curve[7]), (8, (2, 1.5), (16, 15.5)));
        assert_eq!(loss_curve(&losses[..2]), [(1, 1.0)]);
        assert_eq!(loss_curve(&[]), []);
    }
}
