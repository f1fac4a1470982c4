//! Takes single parts of the champion back, to see whether they earn anything: each run of lines by which a kept
//! mutation changed its predecessor, if the champion still has them. What is as good without a part is shorter, and the
//! judge may keep it. Pure.

use crate::propose::evolve::search::Mutation;
use similar::{ChangeTag, TextDiff};
use std::time::Duration;

pub const NAME: &str = "ablation";

/// Time limit for one comparison of two sources.
const PATIENCE: Duration = Duration::from_millis(500);

/// A kept mutation in the champion's lineage.
pub struct Kept<'a> {
    pub number: u64,
    pub before: &'a str,
    pub after: &'a str,
}

/// The champion without single parts, those of the oldest keep first.
pub fn ablations<'a>(champion: &'a str, lineage: &'a [Kept]) -> impl Iterator<Item = Mutation> + 'a {
    lineage.iter().flat_map(move |kept| {
        let parts = parts(kept.before, kept.after);
        parts.into_iter().enumerate().filter_map(move |(index, part)| {
            let source = part.taken_out_of(champion)?;
            let description = format!("without part {} of #{}: {}", index + 1, kept.number, part.words());
            Some(Mutation { source, description, operator: NAME })
        })
    })
}

/// A run of lines that a mutation replaced, and what it put there.
struct Part {
    old: String,
    new: String,
    /// The line before it, by which a part that only removes lines is found again.
    before: String,
}

impl Part {
    /// The text with the old lines in the place of the new ones, if these are there once.
    fn taken_out_of(&self, text: &str) -> Option<String> {
        let new = format!("{}{}", self.before, self.new);
        let (at, _) = text.match_indices(&new).next().filter(|_| text.matches(&new).count() == 1)?;
        let old = format!("{}{}", self.before, self.old);
        Some(format!("{}{old}{}", text.get(..at)?, text.get(at + new.len()..)?))
    }

    fn words(&self) -> String {
        let lines = |text: &str| text.lines().count();
        let first =
            [&self.new, &self.old].into_iter().find_map(|text| text.lines().find(|line| !line.trim().is_empty()));
        format!("+{} −{} lines, {}", lines(&self.old), lines(&self.new), first.unwrap_or_default().trim())
    }
}

fn parts(before: &str, after: &str) -> Vec<Part> {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let (mut parts, mut last) = (Vec::new(), String::new());
    let mut open: Option<Part> = None;
    for change in diff.iter_all_changes() {
        let line = change.value();
        if change.tag() == ChangeTag::Equal {
            parts.extend(open.take());
            line.clone_into(&mut last);
            continue;
        }
        let part = open.get_or_insert_with(|| Part { old: String::new(), new: String::new(), before: last.clone() });
        match change.tag() {
            ChangeTag::Delete => part.old.push_str(line),
            ChangeTag::Insert | ChangeTag::Equal => part.new.push_str(line),
        }
    }
    parts.extend(open);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "fn f() {\n    a();\n    b();\n    c();\n}\n";
    const FIRST: &str = "fn f() {\n    a();\n    more();\n    b();\n    c(2);\n}\n";
    const SECOND: &str = "fn f() {\n    a();\n    more();\n    b();\n    c(2);\n    last();\n}\n";

    #[test]
    fn each_part_of_each_keep_is_taken_out_alone() {
        let lineage =
            [Kept { number: 3, before: SEED, after: FIRST }, Kept { number: 7, before: FIRST, after: SECOND }];
        let found: Vec<Mutation> = ablations(SECOND, &lineage).collect();
        let sources: Vec<&str> = found.iter().map(|mutation| mutation.source.as_str()).collect();
        assert_eq!(
            sources,
            [
                "fn f() {\n    a();\n    b();\n    c(2);\n    last();\n}\n",
                "fn f() {\n    a();\n    more();\n    b();\n    c();\n    last();\n}\n",
                FIRST,
            ]
        );
        assert_eq!(found[0].description, "without part 1 of #3: +0 −1 lines, more();");
    }

    #[test]
    fn what_the_champion_no_longer_has_is_left_alone() {
        let other = "fn g() {}\n";
        assert_eq!(ablations(other, &[Kept { number: 3, before: SEED, after: FIRST }]).count(), 0);
    }
}
