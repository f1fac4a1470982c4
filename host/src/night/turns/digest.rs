//! A digest of a night without a language model: figures by kind of change, the best and the worst trials. Pure. A
//! proposer that can write makes a better one ([`crate::propose::proposer::Proposer::digest`]); this one always works.

use crate::propose::proposer::Past;
use crate::record::ending::Ending;
use crate::record::trial::Trial;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Author of the digests made here.
pub const AUTHOR: &str = "host";
/// Maximum length of a digest by any author, in characters.
pub const MAX_CHARS: usize = 4000;
/// Number of trials in each list.
const NAMED: usize = 5;

/// Summarises all trials on one page.
pub fn plain(past: &[Arc<Past>]) -> String {
    let trials: Vec<&Trial> = past.iter().map(|past| &past.trial).filter(|trial| trial.number > 0).collect();
    let mut out = format!("After {} trials: {}.\n", trials.len(), endings(&trials));
    list(&mut out, "Kept, in order", trials.iter().copied().filter(|trial| trial.is_kept()));
    let measured = trials.iter().filter(|trial| !trial.is_kept());
    let mut ranked: Vec<(f64, &Trial)> = measured.filter_map(|&trial| Some((trial.found.delta?, trial))).collect();
    ranked.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let ranked: Vec<&Trial> = ranked.into_iter().map(|(_, trial)| trial).collect();
    list(&mut out, "Closest to a gain, not kept", ranked.iter().copied().take(NAMED));
    let worst = ranked.iter().copied().rev().take(NAMED);
    list(&mut out, "Most harmful", worst.filter(|trial| trial.found.verdict == Ending::Discard));
    kinds(&mut out, &trials);
    cap(&out)
}

/// Cuts a digest to [`MAX_CHARS`].
pub fn cap(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

fn endings(trials: &[&Trial]) -> String {
    let count = |ending| trials.iter().filter(|trial| trial.found.verdict == ending).count();
    let counts = Ending::ALL.map(|ending| (ending.name(), count(ending)));
    let words: Vec<String> = counts.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name}")).collect();
    if words.is_empty() { "nothing yet".into() } else { words.join(", ") }
}

/// Writes a titled list of trials, or nothing if there are none.
fn list<'a>(out: &mut String, title: &str, trials: impl Iterator<Item = &'a Trial>) {
    for (i, trial) in trials.enumerate() {
        if i == 0 {
            let _ = writeln!(out, "{title}:");
        }
        let delta = trial.found.delta.map_or(String::new(), |delta| format!(" ({delta:+.4})"));
        let _ = writeln!(out, "- #{} {}{delta}", trial.number, trial.description);
    }
}

/// Writes tries, keeps and mean difference for each kind of change.
fn kinds(out: &mut String, trials: &[&Trial]) {
    let mut kinds = BTreeMap::<&str, Vec<&Trial>>::new();
    for trial in trials.iter().filter(|trial| !matches!(trial.found.verdict, Ending::Same | Ending::HostFault)) {
        kinds.entry(&trial.operator).or_default().push(trial);
    }
    if kinds.is_empty() {
        return;
    }
    out.push_str("By kind of change (tried, kept, failed, mean difference):\n");
    for (kind, trials) in kinds {
        let deltas: Vec<f64> = trials.iter().filter_map(|trial| trial.found.delta).collect();
        let mean = deltas.iter().sum::<f64>() / deltas.len().max(1) as f64;
        let kept = trials.iter().filter(|trial| trial.is_kept()).count();
        let failed = trials.len() - deltas.len();
        let mean = if deltas.is_empty() { "–".into() } else { format!("{mean:+.4}") };
        let kind = if kind.is_empty() { "other" } else { kind };
        let _ = writeln!(out, "- {kind}: {}, {kept}, {failed}, {mean}", trials.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::proposer::tests::past;

    #[test]
    fn the_page_says_what_helped_what_harmed_and_what_failed() {
        let page = plain(&[
            past(0, Ending::Keep, None),
            past(1, Ending::Keep, Some(-0.01)),
            past(2, Ending::Discard, Some(0.2)),
            past(3, Ending::Noise, Some(-0.001)),
            past(4, Ending::Refused, None),
        ]);
        assert_eq!(
            page,
            "After 4 trials: 1 keep, 1 discard, 1 noise, 1 refused.\nKept, in order:\n- #1 change 1 (-0.0100)\nClosest to a \
             gain, not kept:\n- #3 change 3 (-0.0010)\n- #2 change 2 (+0.2000)\nMost harmful:\n- #2 change 2 \
             (+0.2000)\nBy kind of change (tried, kept, failed, mean difference):\n- test: 4, 1, 1, +0.0630\n"
        );
    }

    #[test]
    fn a_long_night_still_makes_a_page() {
        let past: Vec<_> = (1..2000).map(|n| past(n, Ending::Keep, Some(-0.01))).collect();
        assert!(plain(&past).chars().count() <= MAX_CHARS);
        assert!(plain(&[]).starts_with("After 0 trials: nothing yet."));
    }
}
