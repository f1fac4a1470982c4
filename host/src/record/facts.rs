//! A summary of a dry run and of a run's log for proposers: steps, sizes, shares of the budget, and the loss curve.
//! Pure.

use crate::record::dry_run::{DryRun, LineCost};
use kernels::session::{LOSS, LogPoint, Totals};
use serde::Serialize;

/// Number of points in a loss curve.
const PARTS: usize = 8;

/// Classes of op below this share of the budget are not mentioned.
const SMALL_SHARE: f64 = 0.005;

/// Data of a source that is remarked on: more than good champions carry.
const NOTABLE_BYTES: u64 = 2_000;

/// Training that is remarked on: less than this share of the seed guest's tokens.
const NOTABLE_SHARE: f64 = 0.2;

/// Facts about a training run that are known before it trains.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facts {
    /// Steps that fit into the budget.
    pub steps: u64,
    /// Tokens drawn in these steps.
    pub tokens: u64,
    pub flops: u64,
    /// Elements of all named parameters.
    pub parameters: u64,
    /// Peak of live tensor bytes.
    pub peak_bytes: u64,
    /// Ops of the whole run.
    pub ops: u64,
    /// Deterministic seconds used.
    pub seconds: f64,
    /// Share of these seconds by class of op, largest first.
    pub shares: Vec<Share>,
    /// Share of a training step by line of the source, largest first.
    pub lines: Vec<LineShare>,
    /// Cost of `forward` in picoseconds per token.
    pub forward_ps_per_token: u64,
    /// Highest allowed cost of `forward`; 0: no limit.
    pub forward_cap_ps_per_token: u64,
    /// The guest reads values, so the dry run can only guess what it does next.
    pub advisory: bool,
    /// Bytes of data that the source carries.
    pub data_bytes: u64,
    /// Bytes of data that it may carry.
    pub data_cap: u64,
    /// Training tokens as a share of the seed guest's, if that is known.
    pub trained_share: Option<f64>,
}

/// A class of op and its share of the budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    pub class: String,
    /// From 0 to 1.
    pub share: f64,
}

/// A line of a source and its share of a training step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineShare {
    pub line: u32,
    /// The function that it stands in, if that is known.
    pub function: String,
    /// From 0 to 1.
    pub share: f64,
}

impl Facts {
    /// Facts of a dry run whose `forward` saw `forward_tokens` tokens. The cap is picoseconds per token.
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
            lines: line_shares(dry_run),
            forward_ps_per_token: dry_run.forward_ps_per_token(forward_tokens),
            forward_cap_ps_per_token,
            advisory: dry_run.advisory,
            ..Self::default()
        }
    }

    /// Four to eight lines of text.
    pub fn words(&self) -> String {
        let mut text = format!(
            "{} steps, {} tokens, {:.3} TFLOP, {} parameters\n\
             {:.1} MB of tensors at most; {:.2} s of budget time\n\
             the budget goes to: {}{}\n\
             forward costs {} ps per token",
            self.steps,
            self.tokens,
            self.flops as f64 / 1e12,
            self.parameters,
            self.peak_bytes as f64 / 1e6,
            self.seconds,
            share_words(&self.shares),
            line_words(&self.lines),
            self.forward_ps_per_token,
        );
        if self.forward_cap_ps_per_token > 0 {
            let share = self.forward_ps_per_token as f64 / self.forward_cap_ps_per_token as f64;
            text += &format!(", {:.0}% of the {} that it may", share * 100.0, self.forward_cap_ps_per_token);
        }
        if self.data_cap > 0 {
            text += &format!("\nit {} of the {} that it may", data_words(self.data_bytes), bytes(self.data_cap));
        }
        if let Some(share) = self.trained_share.filter(|share| *share < NOTABLE_SHARE) {
            text += &format!("\n{}", trained_words(share));
        }
        if self.advisory {
            text += "\nthe guest reads values or random bytes, so these figures are estimates";
        }
        text
    }
}

/// `carries 20.1 kB of data`.
pub fn data_words(data_bytes: u64) -> String {
    format!("carries {} of data", bytes(data_bytes))
}

/// `trained on 3% of the baseline's tokens`.
pub fn trained_words(share: f64) -> String {
    format!("trained on {} of the baseline's tokens", percent(share))
}

/// What a reader should know about a guest: data beyond that of usual guests, little training. Empty if there is
/// nothing of the kind.
pub fn remarks(data_bytes: Option<u64>, trained_share: Option<f64>) -> Vec<String> {
    let data = data_bytes.filter(|bytes| *bytes > NOTABLE_BYTES).map(data_words);
    let trained = trained_share.filter(|share| *share < NOTABLE_SHARE).map(trained_words);
    data.into_iter().chain(trained).collect()
}

/// A share in per cent, with a digit after the point if it is small.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 1.0 && percent > 0.0 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

/// `40 s`, `3 min 20 s`, `1 h 01 min`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

/// A difference with its sign: `−0.0012`.
pub fn signed(delta: f64) -> String {
    format!("{}{:.4}", if delta < 0.0 { "−" } else { "+" }, delta.abs())
}

/// `512 B`, `20.1 kB`, `1.2 MB`.
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Share of a run's time by class of op, largest first.
pub fn shares(totals: &Totals) -> Vec<Share> {
    let total = totals.spent_ps.max(1) as f64;
    let mut shares: Vec<Share> = (totals.spent_by_class.iter())
        .map(|(class, ps)| Share { class: class.clone(), share: *ps as f64 / total })
        .filter(|share| share.share >= SMALL_SHARE)
        .collect();
    shares.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.class.cmp(&b.class)));
    shares
}

/// Lines below this share of a step are not mentioned, nor are more than these.
const SMALL_LINE: f64 = 0.02;
const LINES: usize = 8;

/// Share of a training step by line of the source, largest first.
pub fn line_shares(dry_run: &DryRun) -> Vec<LineShare> {
    let total = dry_run.step_ps.max(1) as f64;
    let share =
        |cost: &LineCost| LineShare { line: cost.line, function: cost.function.clone(), share: cost.ps as f64 / total };
    dry_run.lines.iter().map(share).filter(|line| line.share >= SMALL_LINE).take(LINES).collect()
}

/// A line of text: `of a step, line 43 (mlp) takes 22%, line 151 (train) 18%`. Empty if nothing is known.
fn line_words(lines: &[LineShare]) -> String {
    let words = lines.iter().enumerate().map(|(i, LineShare { line, function, share })| {
        let function = if function.is_empty() { String::new() } else { format!(" ({function})") };
        let takes = if i == 0 { " takes" } else { "" };
        format!("line {line}{function}{takes} {:.0}%", share * 100.0)
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { String::new() } else { format!("\nof a step, {}", words.join(", ")) }
}

/// `product 71%, attention 20%`.
pub fn share_words(shares: &[Share]) -> String {
    let words: Vec<String> = shares.iter().map(|s| format!("{} {:.0}%", s.class, s.share * 100.0)).collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

/// The logged `loss` as eight points for proposers: see [`curve`].
pub fn loss_curve(log: &[LogPoint]) -> Vec<(u64, f64)> {
    curve(log, PARTS)
}

/// The logged `loss` as at most `parts` points: the steps are divided into parts, and each point is the last step of a
/// part with the mean loss of that part, in nats per token.
pub fn curve(log: &[LogPoint], parts: usize) -> Vec<(u64, f64)> {
    let losses: Vec<&LogPoint> = log.iter().filter(|point| point.key == LOSS).collect();
    let parts = losses.chunks(losses.len().div_ceil(parts.max(1)).max(1));
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
        let dry_run = DryRun {
            train,
            forward,
            named: Default::default(),
            advisory: true,
            fuel: 0,
            causality: None,
            step_ps: 0,
            lines: Vec::new(),
        };
        let facts = Facts::new(&dry_run, 4, 12);
        assert_eq!(facts.forward_ps_per_token, 3);
        let words = facts.words();
        assert!(words.starts_with("12 steps") && words.contains("product 70%, norm 30%\n"), "{words}");
        assert!(!words.contains("copy") && words.ends_with("estimates"), "{words}");
        assert!(words.contains("forward costs 3 ps per token, 25% of the 12 that it may"), "{words}");
    }

    #[test]
    fn data_and_training_are_told_if_they_are_unusual() {
        assert_eq!(remarks(Some(2_000), Some(0.2)), Vec::<String>::new());
        assert_eq!(remarks(Some(20_075), None), ["carries 20.1 kB of data"]);
        assert_eq!(remarks(None, Some(0.003)), ["trained on 0.3% of the baseline's tokens"]);
        let words = Facts { data_bytes: 900, data_cap: 6_000, trained_share: Some(0.03), ..Facts::default() }.words();
        assert!(words.contains("it carries 900 B of data of the 6.0 kB that it may\ntrained on 3% of"), "{words}");
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
