//! Sources as changes of other sources. A night has many sources that differ in a few lines, so the page holds one in
//! full and the lines that the others change. Pure.

use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use std::time::Duration;

/// Time limit for one comparison of two sources; what is found by then is correct, and longer than need be.
const PATIENCE: Duration = Duration::from_millis(50);
/// Unchanged lines around a change.
const AROUND: usize = 3;

/// A step from one text to another, from its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Edit {
    /// So many lines stay; if negative, so many are left out.
    Lines(i64),
    /// These lines come in.
    New(Vec<String>),
}

/// A line of a comparison: `+`, `−` or a space, and the text. An ellipsis stands for unchanged lines that are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub sign: char,
    pub text: String,
}

/// The steps from `before` to `after`.
pub fn edits(before: &str, after: &str) -> Vec<Edit> {
    let mut steps: Vec<Edit> = Vec::new();
    for (tag, text) in changes(before, after) {
        match (tag, steps.last_mut()) {
            (ChangeTag::Equal, Some(Edit::Lines(count))) if *count > 0 => *count += 1,
            (ChangeTag::Equal, _) => steps.push(Edit::Lines(1)),
            (ChangeTag::Delete, Some(Edit::Lines(count))) if *count < 0 => *count -= 1,
            (ChangeTag::Delete, _) => steps.push(Edit::Lines(-1)),
            (ChangeTag::Insert, Some(Edit::New(lines))) => lines.push(text),
            (ChangeTag::Insert, _) => steps.push(Edit::New(vec![text])),
        }
    }
    steps
}

/// The changed lines with a few unchanged ones around them.
pub fn lines(before: &str, after: &str) -> Vec<Line> {
    let all: Vec<(ChangeTag, String)> = changes(before, after).collect();
    let is_near = |at: usize| {
        let near = all.get(at.saturating_sub(AROUND)..(at + AROUND + 1).min(all.len())).unwrap_or_default();
        near.iter().any(|(tag, _)| *tag != ChangeTag::Equal)
    };
    let mut shown: Vec<Line> = Vec::new();
    for (at, (tag, text)) in all.iter().enumerate() {
        let sign = match tag {
            ChangeTag::Equal if is_near(at) => ' ',
            ChangeTag::Equal if shown.last().is_none_or(|line| line.sign != '…') => {
                shown.push(Line { sign: '…', text: String::new() });
                continue;
            }
            ChangeTag::Equal => continue,
            ChangeTag::Delete => '−',
            ChangeTag::Insert => '+',
        };
        shown.push(Line { sign, text: text.clone() });
    }
    if shown.iter().all(|line| line.sign == '…') { Vec::new() } else { shown }
}

fn changes(before: &str, after: &str) -> impl Iterator<Item = (ChangeTag, String)> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let diff = TextDiff::configure().timeout(PATIENCE).diff_slices(&before, &after);
    let all: Vec<_> = diff.iter_all_changes().map(|change| (change.tag(), change.value().to_string())).collect();
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the script of the page does it.
    fn applied(before: &str, steps: &[Edit]) -> Vec<String> {
        let (mut left, mut out) = (before.lines(), Vec::new());
        for step in steps {
            match step {
                Edit::Lines(count) if *count > 0 => (0..*count).for_each(|_| out.extend(left.next().map(String::from))),
                Edit::Lines(count) => (0..-count).for_each(|_| assert!(left.next().is_some())),
                Edit::New(lines) => out.extend(lines.iter().cloned()),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn edits_lead_from_one_text_to_the_other(before in "([ab]\n){0,12}", after in "([abc]\n){0,12}") {
            let steps = edits(&before, &after);
            prop_assert_eq!(applied(&before, &steps), after.lines().map(String::from).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_comparison_shows_what_is_near_a_change() {
        let before: String = (0..20).map(|i| format!("line {i}\n")).collect();
        let after = before.replace("line 10\n", "other\n");
        let signs: String = lines(&before, &after).iter().map(|line| line.sign).collect();
        assert_eq!(signs, "…   −+   …");
        assert_eq!(lines(&before, &before), []);
        assert_eq!(serde_json::to_string(&edits(&before, &after)).unwrap(), "[10,-1,[\"other\"],9]");
    }
}
