//! Earlier trials as a model reads them: one line per trial, figures first, text escaped and capped. Pure.

use crate::propose::history;
use crate::propose::prompt::parts::fenced;
use crate::propose::proposer::{Past, Situation};
use crate::record::ending::Ending;
use crate::record::trial::{Findings, Trial};
use crate::system::sanitize;
use similar::TextDiff;
use std::cmp::Reverse;

/// Longest description, hypothesis or reason, in characters.
const WORDS_CHARS: usize = 160;
/// Largest number of trials in a list.
const LISTED: usize = 80;
/// Number of trials whose loss is shown besides the parent's.
const CURVES: usize = 4;
/// Largest number of lines in a diff.
const DIFF_LINES: usize = 60;
/// Sources with more lines than this are not compared.
const MAX_DIFFED_LINES: usize = 4000;

/// Trials that became champions, lowest bits per byte first.
pub(super) fn kept(situation: &Situation) -> String {
    list(ranked(situation).into_iter(), |Past { trial, .. }| {
        let gain = trial.found.delta.map_or(String::new(), |delta| format!(" ({delta:+.4})"));
        let bpb = trial.found.bpb.map_or("?".into(), |bpb| format!("{bpb:.4}"));
        format!("#{} {bpb}{gain}: {}{}", trial.number, words(&trial.description), hoped(trial))
    })
}

/// Trials that were worse, not proven, screened only, or failed, latest first. Expired trials are left out.
pub(super) fn without_gain(situation: &Situation) -> String {
    let lost = [Ending::Discard, Ending::Noise, Ending::Screened, Ending::Failed, Ending::Refused];
    let old = situation.expired();
    let (expired, valid): (Vec<&Past>, Vec<&Past>) =
        tried(situation).filter(|past| lost.contains(&past.trial.found.verdict)).partition(|past| old.holds(past));
    let mut out = list(valid.into_iter().rev(), |Past { trial, .. }| {
        let Findings { verdict, delta, reason, .. } = &trial.found;
        let figure = delta.map_or(String::new(), |delta| format!(" {delta:+.4}"));
        let why = if reason.is_empty() { String::new() } else { format!(" — {}", words(reason)) };
        let (number, verdict, champion) = (trial.number, verdict.name(), trial.champion);
        format!("#{number} {verdict}{figure} against #{champion}: {}{}{why}", words(&trial.description), hoped(trial))
    });
    if !expired.is_empty() {
        let (count, keeps) = (expired.len(), Situation::EXPIRES_AFTER);
        out.push_str(&format!(
            "{count} older results are left out: the champion has changed {keeps} times since, so they may be worth \
             another try.\n"
        ));
    }
    out
}

/// Loss curves of the parent and of the latest trained trials.
pub(super) fn losses(situation: &Situation) -> String {
    let parent = situation.parent.number;
    let of_parent = situation.past.iter().map(AsRef::as_ref).filter(|past: &&Past| past.trial.number == parent);
    let latest = tried(situation).filter(|past| past.trial.number != parent);
    let latest: Vec<&Past> = latest.filter(|past| !past.losses.is_empty()).collect();
    let latest = latest.into_iter().rev().take(CURVES);
    list(of_parent.filter(|past| !past.losses.is_empty()).chain(latest), |past| {
        let Trial { number, found, .. } = &past.trial;
        let what = if *number == parent { "the present train.rs" } else { found.verdict.name() };
        format!("#{number} {what}:{}", history::losses(past))
    })
}

/// Repeats that the three keys found, and proposals that are not decided yet.
pub(super) fn repeats(situation: &Situation) -> String {
    let caught: Vec<&Trial> =
        tried(situation).map(|past| &past.trial).filter(|trial| trial.found.verdict == Ending::Same).collect();
    let caught = caught
        .into_iter()
        .rev()
        .map(|trial| format!("#{}: {}, {}", trial.number, words(&trial.description), words(&trial.found.reason)));
    let underway = situation.underway.iter().map(|one| format!("under way: {}", words(&one.description)));
    let lines: Vec<String> = underway.chain(caught).take(LISTED).map(|line| format!("- {line}")).collect();
    data(&lines)
}

/// The diff of the best kept trial to its parent.
pub(super) fn best(situation: &Situation) -> String {
    let Some(best) = ranked(situation).into_iter().next() else { return String::new() };
    let before = situation.past.iter().find(|past| past.trial.number == best.trial.parent);
    let sources = before.and_then(|before| before.source.as_deref().zip(best.source.as_deref()));
    let Some((before, after)) = sources else { return String::new() };
    let Trial { number, parent, description, .. } = &best.trial;
    shown(&format!("#{number}, from #{parent}: {}", words(description)), diff(before, after))
}

/// The diff between the parent and the kept trial that is least similar to it.
pub(super) fn most_different(situation: &Situation) -> String {
    let parent = &situation.parent;
    let others = ranked(situation).into_iter().filter(|past| past.trial.number != parent.number);
    let others = others.filter_map(|past| Some((&past.trial, past.source.as_deref()?)));
    let distance = |(trial, source): &(&Trial, &str)| (changed_lines(&parent.source, source), Reverse(trial.number));
    let Some((other, source)) = others.max_by_key(distance) else { return String::new() };
    let title = format!("#{}, from the present train.rs: {}", other.number, words(&other.description));
    shown(&title, diff(&parent.source, source))
}

/// Every trial except the baseline, oldest first.
fn tried(situation: &Situation) -> impl Iterator<Item = &Past> {
    situation.past.iter().map(AsRef::as_ref).filter(|past| past.trial.number > 0)
}

/// Kept trials, lowest bits per byte first; among equals, later ones first.
fn ranked(situation: &Situation) -> Vec<&Past> {
    let mut kept: Vec<&Past> = tried(situation).filter(|past| past.trial.is_kept()).collect();
    // A trial without a score comes last.
    let bpb = |past: &Past| past.trial.found.bpb.unwrap_or(f64::INFINITY);
    kept.sort_by(|a, b| bpb(a).total_cmp(&bpb(b)).then(b.trial.number.cmp(&a.trial.number)));
    kept
}

fn list<'a>(trials: impl Iterator<Item = &'a Past>, line: impl Fn(&Past) -> String) -> String {
    let lines: Vec<String> = trials.take(LISTED).map(|past| format!("- {}", line(past))).collect();
    data(&lines)
}

fn data(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { fenced("data", &lines.join("\n")) }
}

fn words(text: &str) -> String {
    sanitize::line(text, WORDS_CHARS)
}

fn hoped(trial: &Trial) -> String {
    if trial.hypothesis.is_empty() { String::new() } else { format!(" — hoped: {}", words(&trial.hypothesis)) }
}

fn shown(title: &str, diff: Option<String>) -> String {
    diff.map_or(String::new(), |diff| fenced("data", &format!("{title}\n{diff}")))
}

/// A unified diff, escaped; `None` if it is too long or empty.
fn diff(before: &str, after: &str) -> Option<String> {
    if before.lines().count().max(after.lines().count()) > MAX_DIFFED_LINES {
        return None;
    }
    let diff = TextDiff::from_lines(before, after).unified_diff().context_radius(1).to_string();
    let diff = sanitize::printable(&diff);
    (1..=DIFF_LINES).contains(&diff.lines().count()).then_some(diff)
}

fn changed_lines(a: &str, b: &str) -> usize {
    if a.lines().count().max(b.lines().count()) > MAX_DIFFED_LINES {
        return 0;
    }
    let diff = TextDiff::from_lines(a, b);
    diff.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal).count()
}
