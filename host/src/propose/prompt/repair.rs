//! The prompt for a repair: the fault, the lines around it, the reference for the ops involved, and the whole file.
//! Pure.

use crate::propose::answer::FORMAT;
use crate::propose::prompt::parts::{Part, Prompt, SYSTEM, code, fenced, fit};
use crate::propose::proposer::{Failed, HYPOTHESIS_CHARS, Situation};
use crate::system::sanitize;
use similar::get_close_matches;
use std::collections::BTreeSet;

/// Lines shown before and after a fault.
const AROUND: usize = 4;
/// Largest number of faults whose lines are shown.
const PLACES: usize = 3;
/// Characters of an error that are kept. Compilers print the important part first.
const ERROR_CHARS: usize = 4000;
/// Bytes that are kept of an answer that could not be read.
const ANSWER_BYTES: usize = 16 << 10;
/// Largest number of lines from the reference.
const REFERENCE_LINES: usize = 40;
/// Shortest name that is looked up. Shorter ones are too common.
const NAME_CHARS: usize = 3;
/// Number of similar reference names for a name in the error.
const NEAR_NAMES: usize = 3;
/// Similarity that two such names need, from 0 to 1. Models often use names such as `softmax_last` or `rmsnorm`.
const LIKENESS: f32 = 0.75;
/// The prefix of a guest's line number in messages of compilers, the dry run and traps.
const FILE: &str = "train.rs:";

/// Asks for a repair. The file is never shortened, because a part of it could not be repaired.
pub fn repair(situation: &Situation, failed: &Failed, reference: &str, tokens: u64) -> Prompt {
    let error = sanitize::cut(&sanitize::printable(failed.message.trim()), ERROR_CHARS, "…");
    let mut parts = match &failed.proposal {
        Some(proposal) => vec![
            Part::new(0, "", opening(failed, &proposal.hypothesis)),
            Part::new(0, "The fault", fenced("data", &error)),
            Part::new(2, "Where it is", excerpt(&proposal.source, &failed.message)),
            Part::cut(1, "What the reference says", relevant(reference, &proposal.source, &error)),
            Part::new(0, "train.rs", code(&proposal.source)),
        ],
        None => vec![
            Part::new(0, "", "Your answer could not be used. Give the same change again, in the right form."),
            Part::new(0, "The fault", fenced("data", &error)),
            Part::cut(
                1,
                "What you answered",
                fenced("data", sanitize::cut_bytes(&sanitize::printable(failed.answer.trim()), ANSWER_BYTES)),
            ),
            Part::new(0, "train.rs", code(&situation.parent.source)),
        ],
    };
    parts.push(Part::new(0, "Your answer", FORMAT));
    let text = fit(&mut parts, tokens);
    Prompt { system: SYSTEM.into(), text }
}

fn opening(failed: &Failed, hypothesis: &str) -> String {
    let idea = match sanitize::line(hypothesis, HYPOTHESIS_CHARS) {
        none if none.is_empty() => String::new(),
        idea => format!(" The idea was: {idea}"),
    };
    format!(
        "Your mutation does not pass ({}). Mend it with as little change as you can, and keep its idea. This is repair \
         {}.{idea}\n",
        failed.stage.name(),
        failed.repair
    )
}

/// The lines that a message points at, in order of appearance, without repeats.
fn places(message: &str) -> Vec<usize> {
    let mut lines: Vec<usize> = Vec::new();
    for (at, _) in message.match_indices(FILE) {
        let digits: String =
            message.get(at + FILE.len()..).unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        if let Ok(line) = digits.parse::<usize>()
            && line > 0
            && !lines.contains(&line)
        {
            lines.push(line);
        }
    }
    lines.truncate(PLACES);
    lines
}

/// The numbered lines around each place, with the place itself marked.
fn excerpt(source: &str, message: &str) -> String {
    let places = places(message);
    let near = |number: usize| places.iter().any(|&place| number.abs_diff(place) <= AROUND);
    let mut out = String::new();
    let mut last = 0;
    for (i, line) in source.lines().enumerate().filter(|(i, _)| near(i + 1)) {
        let number = i + 1;
        if last > 0 && number > last + 1 {
            out.push_str("      …\n");
        }
        last = number;
        let mark = if places.contains(&number) { '>' } else { ' ' };
        out.push_str(&format!("{mark}{number:>5} | {}\n", sanitize::printable(line)));
    }
    if out.is_empty() { out } else { fenced("data", &out) }
}

/// Lines of the reference, with their headings, that define the names in the error and the faulty lines, or similar
/// names.
fn relevant(reference: &str, source: &str, message: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let mut named = words(message);
    for place in places(message) {
        named.extend(called(lines.get(place - 1).copied().unwrap_or_default()));
    }
    let known: BTreeSet<String> = reference.lines().filter_map(defined).collect();
    let all: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    for name in &named {
        wanted.extend(get_close_matches(name.as_str(), &all, NEAR_NAMES, LIKENESS));
    }
    let (mut out, mut heading, mut count) = (String::new(), "", 0);
    let mut told = "";
    for line in reference.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim();
        }
        let section = heading.trim_matches('`');
        let about = defined(line).is_some_and(|name| wanted.contains(name.as_str()) || named.contains(section));
        if !about || count >= REFERENCE_LINES {
            continue;
        }
        if told != heading {
            out.push_str(&format!("{heading}:\n"));
            told = heading;
        }
        out.push_str(&format!("{line}\n"));
        count += 1;
    }
    if out.is_empty() { out } else { fenced("data", &sanitize::printable(&out)) }
}

/// Names in a text. `-` and `_` are equal, because ops are `rms-norm` in errors and `rms_norm` in Rust.
fn words(text: &str) -> BTreeSet<String> {
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let words = text.split(|c| !name(c)).map(|word| word.trim_matches('-').replace('-', "_"));
    words.filter(|word| word.chars().count() >= NAME_CHARS).collect()
}

/// Names that a line of code calls.
fn called(line: &str) -> BTreeSet<String> {
    let before_bracket = line.split('(').filter_map(|before| before.rsplit(|c: char| !is_name(c)).next());
    before_bracket.filter(|name| name.chars().count() >= NAME_CHARS).map(str::to_owned).collect()
}

/// The name that a line of the reference defines: the one after `fn`, else the last one before its first bracket or
/// colon.
fn defined(line: &str) -> Option<String> {
    let after_fn = line.split_once("fn ").map(|(_, rest)| rest);
    let name = match after_fn {
        Some(rest) => rest.split(|c| !is_name(c)).next(),
        None if line.starts_with("- ") => {
            line.split(['(', ':']).next().and_then(|before| before.rsplit(|c| !is_name(c)).next())
        }
        None => None,
    };
    name.filter(|name| name.chars().count() >= NAME_CHARS).map(str::to_owned)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
