//! What the search knows, in words for people, models and agents.

use crate::propose::evolve::known::know::{Failing, Idea, Known, Measured};
use crate::record::facts::signed;
use crate::record::hint::Hint;
use std::cmp::Ordering;

/// Longest text in characters.
const MAX_CHARS: usize = 6000;
/// Largest number of lines in one section.
const LINES: usize = 12;

const HEAD: &str = "\
Differences in bits per byte: negative is better, ± one standard deviation. The effect of a change that was never tried
alone is estimated from all trials that had it.
";

/// Lines under a title.
struct Section {
    title: &'static str,
    lines: Vec<String>,
}

impl Known {
    /// All of it, the most useful first, in at most 6000 characters.
    pub fn text(&self) -> String {
        let [kept, near_misses, without_gain, failing, elsewhere] = self.of_changes();
        write(&[kept, near_misses, self.tried(), self.untried(), without_gain, failing, elsewhere])
    }

    /// What is known of changes, without the operators.
    pub fn changes_text(&self) -> String {
        write(&self.of_changes())
    }

    fn of_changes(&self) -> [Section; 5] {
        let lines = |all: &[Measured]| all.iter().map(measured).collect();
        [
            Section { title: "Kept trials, against the champion of their time, best first", lines: lines(&self.kept) },
            Section {
                title: "Near-misses: probably better, and not kept; worth a try together, or in a bolder form",
                lines: lines(&self.near_misses),
            },
            Section { title: "Measured without a gain, best first", lines: lines(&self.without_gain) },
            Section { title: "Failed, and probably fails again", lines: self.failing.iter().map(failing).collect() },
            Section {
                title: "Tried by other labs without gain, as they say: nobody checked it here",
                lines: self.elsewhere.iter().map(elsewhere).collect(),
            },
        ]
    }

    fn tried(&self) -> Section {
        let mut tried: Vec<&Idea> = self.operators.iter().filter(|idea| idea.effect.delta.is_some()).collect();
        tried.sort_by(|a, b| match (a.effect.delta, b.effect.delta) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (_, _) => Ordering::Equal,
        });
        let line = |idea: &&Idea| {
            let (tries, kept) = (idea.effect.tries, idea.effect.kept);
            format!("{} {} ({tries} tried, {kept} kept)", idea.operator, idea.effect.words())
        };
        let title = "Kinds of change, each alone: mean difference to the champion of the time, best first";
        Section { title, lines: tried.iter().map(line).collect() }
    }

    fn untried(&self) -> Section {
        let mut untried: Vec<&Idea> = self.operators.iter().filter(|idea| idea.untried).collect();
        untried.sort_by_key(|idea| std::cmp::Reverse(idea.prior));
        let line = |idea: &&Idea| {
            let (prior, evidence) = (idea.prior.unwrap_or_default(), idea.evidence.unwrap_or_default());
            format!("{prior} {}: {evidence}", idea.operator)
        };
        let title = "Untried, by prior (3 is likely to help, 0 is not), with what others reported";
        Section { title, lines: untried.iter().map(line).collect() }
    }
}

fn measured(one: &Measured) -> String {
    let Measured { change, operator, trials, delta, error, p_better } = one;
    let operator = operator.map_or(String::new(), |operator| format!(" [{operator}]"));
    let trials = if *trials == 1 { "1 trial".into() } else { format!("{trials} trials") };
    let p_better = p_better.map_or(String::new(), |p| format!(", P(better) {p:.2}"));
    format!("{} ± {error:.4}{p_better}, {trials}: {change}{operator}", signed(*delta))
}

fn elsewhere(Hint { change, ending, delta, .. }: &Hint) -> String {
    let figure = delta.map_or(String::new(), |delta| format!(" {}", signed(delta)));
    format!("{change}: {}{figure}", ending.name())
}

fn failing(one: &Failing) -> String {
    let Failing { change, failed, trials, reason } = one;
    let reason = if reason.is_empty() { String::new() } else { format!(", the last time: {reason}") };
    format!("{change}: {failed} of {trials}{reason}")
}

/// Whole lines of the sections, as many as fit; empty if there is nothing to tell.
fn write(sections: &[Section]) -> String {
    let mut out = String::from(HEAD);
    let mut room = MAX_CHARS - HEAD.chars().count();
    let mut is_empty = true;
    for Section { title, lines } in sections {
        let mut block = format!("\n{title}:\n");
        let mut shown = 0;
        let rest = |shown: usize| match lines.len() - shown {
            0 => String::new(),
            more => format!("- and {more} more\n"),
        };
        for line in lines.iter().take(LINES) {
            let line = format!("- {line}\n");
            let length = block.chars().count() + line.chars().count() + rest(shown + 1).chars().count();
            if length > room {
                break;
            }
            block += &line;
            shown += 1;
        }
        if shown > 0 {
            block += &rest(shown);
            room -= block.chars().count();
            out += &block;
            is_empty = false;
        }
    }
    if is_empty { String::new() } else { out }
}
