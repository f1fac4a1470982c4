//! What a dry run found, as whoever writes the next mutation reads it: steps, sizes, and where the budget goes. Pure.

use crate::sandbox::DryRun;
use serde::Serialize;

/// A class of op below this share of the budget is not worth a word.
const SMALL_SHARE: f64 = 0.005;

/// A training run before it is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Cost of `forward` in picoseconds per token, where the number of tokens is known.
    pub forward_ps_per_token: Option<u64>,
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
    /// Of a dry run whose `forward` saw that many tokens.
    pub fn new(dry_run: &DryRun, forward_tokens: Option<u64>) -> Self {
        let t = &dry_run.train;
        let total = t.spent_ps.max(1) as f64;
        let mut shares: Vec<Share> = (t.spent_by_class.iter())
            .map(|(class, ps)| Share { class: class.clone(), share: *ps as f64 / total })
            .filter(|share| share.share >= SMALL_SHARE)
            .collect();
        shares.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.class.cmp(&b.class)));
        Self {
            steps: t.steps,
            tokens: t.tokens,
            flops: t.flops,
            parameters: t.parameters,
            peak_bytes: t.peak_bytes,
            ops: t.ops,
            seconds: t.spent_ps as f64 / 1e12,
            shares,
            forward_ps_per_token: forward_tokens.map(|tokens| dry_run.forward.spent_ps.div_ceil(tokens.max(1))),
            advisory: dry_run.advisory,
        }
    }

    /// In three lines or four.
    pub fn words(&self) -> String {
        let shares: Vec<String> = self.shares.iter().map(|s| format!("{} {:.0}%", s.class, s.share * 100.0)).collect();
        let mut text = format!(
            "{} steps, {} tokens, {:.3} TFLOP, {} parameters\n\
             {:.1} MB of tensors at most; {:.2} s of budget time{}\n\
             the budget goes to: {}",
            self.steps,
            self.tokens,
            self.flops as f64 / 1e12,
            self.parameters,
            self.peak_bytes as f64 / 1e6,
            self.seconds,
            self.forward_ps_per_token.map(|ps| format!("; forward costs {ps} ps per token")).unwrap_or_default(),
            if shares.is_empty() { "nothing".into() } else { shares.join(", ") },
        );
        if self.advisory {
            text += "\nthe guest reads values, so these figures are estimates";
        }
        text
    }
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
        let facts = Facts::new(&dry_run, Some(4));
        assert_eq!(facts.forward_ps_per_token, Some(3));
        let words = facts.words();
        assert!(words.starts_with("12 steps") && words.contains("product 70%, norm 30%\n"), "{words}");
        assert!(!words.contains("copy") && words.ends_with("estimates"), "{words}");
        assert!(!Facts::new(&dry_run, None).words().contains("forward"));
    }
}
