//! The past as a model reads it: one line for each trial, figures first, words escaped and capped. Pure.

use crate::propose::history;
use crate::propose::prompt::parts::fenced;
use crate::propose::proposer::{Past, Situation};
use crate::record::ending::Ending;
use crate::system::sanitize;
use similar::TextDiff;
use std::cmp::Reverse;

/// Characters of a description, a hypothesis or a reason.
const WORDS_CHARS: usize = 160;
/// Most trials of a list.
const LISTED: usize = 80;
/// Trials whose loss is shown, beside the present text's.
const CURVES: usize = 4;
/// Most lines of a diff.
const DIFF_LINES: usize = 60;
/// Lines of a source above which no diff is made.
const MAX_DIFFED_LINES: usize = 4000;

/// What became champions, lowest bits per byte first.
pub(super) fn kept(situation: &Situation) -> String {
    list(ranked(situation).into_iter(), |past| {
        let gain = past.delta.map_or(String::new(), |delta| format!(" ({delta:+.4})"));
        let bpb = past.bpb.map_or("?".into(), |bpb| format!("{bpb:.4}"));
        format!("#{} {bpb}{gain}: {}{}", past.number, words(&past.description), hoped(past))
    })
}

/// What was worse, within the noise, or failed, latest first; not what expired.
pub(super) fn without_gain(situation: &Situation) -> String {
    let lost = [Ending::Discard, Ending::Noise, Ending::Failed, Ending::Refused];
    let (expired, valid): (Vec<&Past>, Vec<&Past>) =
        tried(situation).filter(|past| lost.contains(&past.ending)).partition(|past| situation.is_expired(past));
    let mut out = list(valid.into_iter().rev(), |past| {
        let figure = past.delta.map_or(String::new(), |delta| format!(" {delta:+.4}"));
        let why = if past.reason.is_empty() { String::new() } else { format!(" — {}", words(&past.reason)) };
        let (number, ending, champion) = (past.number, past.ending.name(), past.champion);
        format!("#{number} {ending}{figure} against #{champion}: {}{}{why}", words(&past.description), hoped(past))
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

/// How the loss of the present text fell, and that of the latest trials that were trained.
pub(super) fn losses(situation: &Situation) -> String {
    let parent = situation.parent.number;
    let of_parent = situation.past.iter().map(AsRef::as_ref).filter(|past: &&Past| past.number == parent);
    let latest = tried(situation).filter(|past| past.number != parent);
    let latest: Vec<&Past> = latest.filter(|past| !past.losses.is_empty()).collect();
    let latest = latest.into_iter().rev().take(CURVES);
    list(of_parent.filter(|past| !past.losses.is_empty()).chain(latest), |past| {
        let what = if past.number == parent { "the present train.rs" } else { past.ending.name() };
        format!("#{} {what}:{}", past.number, history::losses(past))
    })
}

/// What the three keys caught, and what is not decided yet.
pub(super) fn repeats(situation: &Situation) -> String {
    let caught = tried(situation).filter(|past| past.ending == Ending::Same).collect::<Vec<_>>();
    let caught = caught
        .into_iter()
        .rev()
        .map(|past| format!("#{}: {}, {}", past.number, words(&past.description), words(&past.reason)));
    let underway = situation.underway.iter().map(|one| format!("under way: {}", words(&one.description)));
    let lines: Vec<String> = underway.chain(caught).take(LISTED).map(|line| format!("- {line}")).collect();
    data(&lines)
}

/// How the best kept trial changed its parent.
pub(super) fn best(situation: &Situation) -> String {
    let Some(best) = ranked(situation).into_iter().next() else { return String::new() };
    let Some(before) = situation.past.iter().find(|past| past.number == best.parent) else { return String::new() };
    let title = format!("#{}, from #{}: {}", best.number, before.number, words(&best.description));
    shown(&title, diff(&before.source, &best.source))
}

/// How the kept trial that is least like the present text differs from it.
pub(super) fn most_different(situation: &Situation) -> String {
    let parent = &situation.parent;
    let others = ranked(situation).into_iter().filter(|past| past.number != parent.number && !past.source.is_empty());
    let distance = |past: &&Past| (changed_lines(&parent.source, &past.source), Reverse(past.number));
    let Some(other) = others.max_by_key(distance) else { return String::new() };
    let title = format!("#{}, from the present train.rs: {}", other.number, words(&other.description));
    shown(&title, diff(&parent.source, &other.source))
}

/// Every trial but the baseline, oldest first.
fn tried(situation: &Situation) -> impl Iterator<Item = &Past> {
    situation.past.iter().map(AsRef::as_ref).filter(|past| past.number > 0)
}

/// The kept ones, lowest bits per byte first, later ones first among equals.
fn ranked(situation: &Situation) -> Vec<&Past> {
    let mut kept: Vec<&Past> = tried(situation).filter(|past| past.ending == Ending::Keep).collect();
    let bpb = |past: &Past| past.bpb.unwrap_or(f64::INFINITY);
    kept.sort_by(|a, b| bpb(a).total_cmp(&bpb(b)).then(b.number.cmp(&a.number)));
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

fn hoped(past: &Past) -> String {
    if past.hypothesis.is_empty() { String::new() } else { format!(" — hoped: {}", words(&past.hypothesis)) }
}

fn shown(title: &str, diff: Option<String>) -> String {
    diff.map_or(String::new(), |diff| fenced("data", &format!("{title}\n{diff}")))
}

/// A unified diff, escaped, or nothing where it would say too much or too little.
fn diff(before: &str, after: &str) -> Option<String> {
    if before.is_empty() || before.lines().count().max(after.lines().count()) > MAX_DIFFED_LINES {
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
