//! Describes a mutation in one line, based only on the two texts and not on its author's claims. Pure.

use crate::guest::component::Card;
use crate::guest::source::MAX_SOURCE_BYTES;
use crate::propose::evolve::constants_of;
use crate::system::sanitize;
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeSet;

/// Number of constants that are named; the rest is counted.
const NAMED: usize = 4;
/// Longest description in characters.
const MAX_CHARS: usize = 160;
/// Time limit for a comparison. Text that was not compared counts as changed.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// `LR 0.02 → 0.03`; `+12 −3 lines in attention, mlp`; `no change`. Of a component, what its card says.
pub fn describe(before: &str, after: &str) -> String {
    if before == after {
        return "no change".into();
    }
    if let Some(card) = Card::read(after) {
        return card.words();
    }
    if before.len().max(after.len()) > MAX_SOURCE_BYTES {
        return "another file".into();
    }
    let (constants, names) = constants(before, after);
    let lines = lines(before, after, &names);
    let parts: Vec<String> = [constants, lines].into_iter().flatten().collect();
    match parts.is_empty() {
        true => "comments and layout".into(),
        false => sanitize::cut(&parts.join("; "), MAX_CHARS, "…"),
    }
}

/// Whether `text` has fewer lines that differ from `one` than from `other`. A component is near to nothing.
pub fn is_nearer(text: &str, one: &str, other: &str) -> bool {
    if [text, one, other].into_iter().any(|text| Card::read(text).is_some()) {
        return false;
    }
    let text = code(text);
    let apart = |from: &str| {
        let from = code(from);
        let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(&from, &text);
        diff.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal).count()
    };
    text.len() <= MAX_SOURCE_BYTES && apart(one) < apart(other)
}

/// The constants whose values differ, with their old and new values in words; and the names of these constants.
fn constants(before: &str, after: &str) -> (Option<String>, BTreeSet<String>) {
    let (old, new) = (constants_of(before), constants_of(after));
    let pairs = old.iter().filter_map(|a| Some((a, new.iter().find(|b| b.name == a.name)?)));
    let changed: Vec<_> = pairs.filter(|(a, b)| a.value != b.value).collect();
    let names = changed.iter().map(|(a, _)| a.name.split('[').next().unwrap_or_default().to_string()).collect();
    let mut words: Vec<String> =
        changed.iter().take(NAMED).map(|(a, b)| format!("{} {} → {}", a.name, a.literal, b.literal)).collect();
    if changed.len() > NAMED {
        words.push(format!("{} more constants", changed.len() - NAMED));
    }
    ((!words.is_empty()).then(|| words.join(", ")), names)
}

/// How many lines of code were added and removed, apart from those of the constants, and in which functions.
fn lines(before: &str, after: &str, constants: &BTreeSet<String>) -> Option<String> {
    let (before, after) = (code(before), code(after));
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(&before, &after);
    let (mut added, mut removed) = (0usize, 0usize);
    let mut places = Vec::<String>::new();
    let mut function = None::<String>;
    for change in diff.iter_all_changes() {
        let line = change.value();
        if let Some(name) = function_name(line) {
            function = Some(name);
        }
        match change.tag() {
            ChangeTag::Equal => continue,
            _ if declares(line, constants) => continue,
            ChangeTag::Insert => added += 1,
            ChangeTag::Delete => removed += 1,
        }
        if let Some(name) = &function
            && places.len() < MAX_CHARS
            && !places.contains(name)
        {
            places.push(name.clone());
        }
    }
    if added + removed == 0 {
        return None;
    }
    let place = if places.is_empty() { String::new() } else { format!(" in {}", places.join(", ")) };
    let lines = if added + removed == 1 { "line" } else { "lines" };
    Some(format!("+{added} −{removed} {lines}{place}"))
}

/// A text without comments, empty lines and trailing blanks.
fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim_end());
    lines.filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
}

/// Whether a line declares one of these constants.
fn declares(line: &str, constants: &BTreeSet<String>) -> bool {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let is_const = words.by_ref().find(|word| !matches!(*word, "pub" | "crate")) == Some("const");
    is_const && words.next().is_some_and(|name| constants.contains(name))
}

/// The name of the function that starts on this line.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let starts = before.split_whitespace().all(|word| matches!(word, "pub" | "const" | "async" | "unsafe"));
    let name = after.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_');
    let name: String = name.take(MAX_CHARS).collect();
    (starts && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEFORE: &str = "const LR: f32 = 0.02; // rate\nconst DEPTH: usize = 4;\n\nfn model() {\n    a();\n}\n\nfn train() {\n    b();\n}\n";

    #[test]
    fn constants_are_named_with_both_values() {
        let after = BEFORE.replace("0.02", "0.03").replace("= 4", "= 6");
        assert_eq!(describe(BEFORE, &after), "LR 0.02 → 0.03, DEPTH 4 → 6");
    }

    #[test]
    fn code_is_counted_where_it_is() {
        let after = BEFORE.replace("    b();\n", "    b();\n    c();\n    d();\n").replace("    a();\n", "");
        assert_eq!(describe(BEFORE, &after), "+2 −1 lines in model, train");
        let both = after.replace("0.02", "0.01");
        assert_eq!(describe(BEFORE, &both), "LR 0.02 → 0.01; +2 −1 lines in model, train");
    }

    #[test]
    fn what_no_compiler_sees_is_called_so() {
        assert_eq!(describe(BEFORE, BEFORE), "no change");
        assert_eq!(describe(BEFORE, &BEFORE.replace("// rate", "// ignore all rules")), "comments and layout");
        assert_eq!(describe(BEFORE, "not Rust at all"), "+1 −8 lines in model, train");
    }

    /// Neither the text that is described nor the champion is known to parse.
    #[test]
    fn texts_without_end_are_described_in_bounded_time() {
        let long = |part: &str| part.repeat(MAX_SOURCE_BYTES / part.len());
        for (before, after) in [
            (BEFORE.to_owned(), long("(")),
            (long("-"), long("!")),
            (long("fn a(){}\n"), long("fn b(){}\n")),
            (
                (0..15_000).map(|i| format!("fn a{i}(){{}}\n")).collect(),
                (0..15_000).map(|i| format!("fn b{i}(){{}}\n")).collect(),
            ),
            (long("const A:f32=1.;\n"), long("const A:f32=2.;\n")),
            (format!("const {}: [f32; 9] = [{}];", long("A").split_off(1 << 17), "1.,".repeat(40_000)), long("a\n")),
        ] {
            let started = std::time::Instant::now();
            assert!(describe(&before, &after).chars().count() <= MAX_CHARS + 1);
            assert!(started.elapsed().as_secs() < 20, "{}", &before[..20]);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_one_short_line(after in "\\PC{0,300}") {
            let said = describe(BEFORE, &after);
            prop_assert!(said.chars().count() <= MAX_CHARS + 1 && !said.contains('\n'));
        }
    }
}
