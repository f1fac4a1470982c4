//! What a source differs in from another one, as the model sees it. The words of a description say it: `LR 0.5 → 0.35`
//! is a step of a constant, `activation in mlp: relu² → gelu` a choice at a place, `softcap in model: off` an edit.
//! `part 2 of #7: …` is a part of a trial that somebody else wrote, and `without part 2 of #7: …` takes it back. So a
//! change keeps its identity on another parent, and a trial of which only the row is left still teaches.

use crate::propose::evolve::constants;

/// Between the changes of a description.
pub const BETWEEN: &str = "; ";
const ARROW: &str = " → ";

/// One difference between two sources.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A constant moved, on its scale: see [`constants::coordinates`].
    Step { name: String, from: f64, to: f64 },
    /// An edit that is present, and the choice whose place it took.
    Edit { made: String, instead_of: Option<String> },
    /// An edit that is taken back.
    Without { made: String },
}

/// The name of a part of a trial, from 1.
pub fn part_name(part: usize, trial: u64) -> String {
    format!("part {part} of #{trial}")
}

/// The names of the parts in `parts 1, 3 of #7`.
fn part_names(text: &str) -> Option<Vec<String>> {
    let (parts, trial) = text.strip_prefix("part ").or_else(|| text.strip_prefix("parts "))?.split_once(" of #")?;
    let trial = trial.parse().ok()?;
    parts.split(", ").map(|part| Some(part_name(part.parse().ok()?, trial))).collect()
}

/// The changes that a description lists.
pub fn read(description: &str) -> Vec<Change> {
    description.split(BETWEEN).filter(|part| !part.is_empty()).flat_map(read_part).collect()
}

fn read_part(part: &str) -> Vec<Change> {
    let named = part.split_once(": ").map_or(part, |(named, _)| named);
    if let Some(names) = named.strip_prefix("without ").and_then(part_names) {
        return names.into_iter().map(|made| Change::Without { made }).collect();
    }
    if let Some(names) = part_names(named) {
        return names.into_iter().map(|made| Change::Edit { made, instead_of: None }).collect();
    }
    if let Some(steps) = steps_of(part) {
        return steps.iter().map(Literals::step).collect();
    }
    let Some((before, state)) = part.split_once(ARROW) else {
        return vec![Change::Edit { made: part.into(), instead_of: None }];
    };
    let place = match (before.split_once(": "), before.find('['), before.rsplit_once(' ')) {
        (Some((place, _)), ..) => place,
        (None, Some(bracket), _) => before.get(..bracket).unwrap_or(before).trim_end(),
        (None, None, Some((place, _))) => place,
        (None, None, None) => before,
    };
    let was = before.get(place.len()..).unwrap_or_default().trim_start_matches([':', ' ']);
    vec![Change::Edit { made: format!("{place}: {state}"), instead_of: Some(format!("{place}: {was}")) }]
}

/// A step of a constant in the words of a description.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Literals<'a> {
    pub name: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    /// Where it begins and ends on the scale of its constant.
    pub coordinates: [f64; 2],
}

impl<'a> Literals<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (before, to) = text.split_once(ARROW)?;
        let (name, from) = before.split_once(' ')?;
        let is_name = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"_[]".contains(&b));
        let (first, last) = (constants::literal_number(from)?, constants::literal_number(to)?);
        is_name.then(|| Self { name, from, to, coordinates: constants::coordinates(name, first, last) })
    }

    fn step(&self) -> Change {
        let [from, to] = self.coordinates;
        Change::Step { name: self.name.into(), from, to }
    }
}

/// The steps of constants that a description lists, in its words.
pub fn literals(description: &str) -> Vec<Literals<'_>> {
    description.split(BETWEEN).filter_map(steps_of).flatten().collect()
}

/// The steps of a part that is nothing but steps.
fn steps_of(part: &str) -> Option<Vec<Literals<'_>>> {
    // Operators that trade constants put their name before them.
    let listed = part.split_once(": ").map_or(part, |(_, listed)| listed);
    [part, listed].into_iter().find_map(steps)
}

/// `LR 0.02 → 0.03, DEPTH 4 → 8`, or `LR 0.02 → 0.03, as EMBED_LR`; `None` if one part is something else.
fn steps(text: &str) -> Option<Vec<Literals<'_>>> {
    let parts = text.split(", ").filter(|part| !part.starts_with("as "));
    parts.map(Literals::read).collect::<Option<Vec<_>>>().filter(|steps| !steps.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(made: &str, instead_of: Option<&str>) -> Change {
        Change::Edit { made: made.into(), instead_of: instead_of.map(Into::into) }
    }

    #[test]
    fn words_become_steps_choices_and_edits() {
        let all =
            "activation in mlp: relu² → gelu; softcap in model: off; windows [64, 0] → [64, 64, 0]; LR 0.02 → 0.04";
        let read = read(all);
        assert_eq!(read[0], edit("activation in mlp: gelu", Some("activation in mlp: relu²")));
        assert_eq!(read[1], edit("softcap in model: off", None));
        assert_eq!(read[2], edit("windows: [64, 64, 0]", Some("windows: [64, 0]")));
        let Change::Step { name, from, to } = &read[3] else { panic!("{read:?}") };
        assert!(name == "LR" && (to - from - 2f64.ln()).abs() < 1e-9, "{read:?}");
    }

    #[test]
    fn a_trade_is_the_steps_of_its_constants() {
        let read =
            read("depth against width: DEPTH 4 → 8, WIDTH 128 → 96; one rate for two groups: A_LR 0.1 → 0.2, as B_LR");
        assert!(matches!(read.as_slice(), [Change::Step { .. }, Change::Step { .. }, Change::Step { .. }]), "{read:?}");
    }

    #[test]
    fn parts_of_trials_are_edits_by_their_number() {
        assert_eq!(read("part 2 of #7: +1 −0 lines, LR 1 → 2"), [edit("part 2 of #7", None)]);
        assert_eq!(read("parts 1, 3 of #7: x"), [edit("part 1 of #7", None), edit("part 3 of #7", None)]);
        assert_eq!(read("without part 1 of #7: x"), [Change::Without { made: "part 1 of #7".into() }]);
        assert_eq!(read("part of #7: x"), [edit("part of #7: x", None)]);
    }

    #[test]
    fn any_words_are_something() {
        for words in ["", "; ", "→", " → ", "LR 1 → x", "A → ", ": → :", "+12 −3 lines in attention"] {
            let _ = read(words);
        }
    }
}
