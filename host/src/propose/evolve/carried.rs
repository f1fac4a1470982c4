//! Parts of what others wrote, as changes of the champion: a gain that a model, an agent or a person found on another
//! parent is tried here too, whole or in parts. Pure.

use crate::propose::evolve::model::change::{self, BETWEEN, Change};
use crate::propose::evolve::model::moves::Move;
use crate::propose::patch::{Part, Patch, Text};
use std::sync::Arc;

/// Operator name for parts of what others wrote.
pub const PATCH: &str = "patch";

/// What a trial changed in its parent.
#[derive(Clone, Debug)]
pub struct Written {
    /// Number of the trial.
    pub number: u64,
    pub patch: Arc<Patch>,
}

impl Written {
    /// The changes of its text, but for values of constants.
    pub fn changes(&self) -> Vec<Change> {
        let parts = self.patch.parts().iter().enumerate().filter(|(_, part)| !part.is_constants);
        parts.map(|(index, _)| edit(index, self.number)).collect()
    }
}

fn edit(index: usize, trial: u64) -> Change {
    Change::Edit { made: change::part_name(index + 1, trial), instead_of: None }
}

/// The words of a part, as one change of a description.
pub fn part_words(part: &Part) -> String {
    part.words().replace(BETWEEN, ";")
}

/// Some parts of a trial that can be carried onto a text.
pub struct Carried {
    written: Written,
    parts: Vec<usize>,
}

impl Carried {
    /// What can be carried of these: each part alone, and all parts of a trial together.
    pub fn all(written: &[Written], champion: &Text) -> Vec<Self> {
        let mut found = Vec::new();
        for one in written {
            let parts = one.patch.parts();
            let is_edit = |index: &usize| parts.get(*index).is_some_and(|part| !part.is_constants);
            let fits = |index: &usize| parts.get(*index).is_some_and(|part| one.patch.fits(champion, [part]));
            let single: Vec<usize> = (0..parts.len()).filter(is_edit).filter(fits).collect();
            let carried = |parts: Vec<usize>| Self { written: one.clone(), parts };
            if single.len() > 1 {
                found.push(carried(single.clone()));
            }
            found.extend(single.into_iter().map(|index| carried(vec![index])));
        }
        found
    }

    /// As the model sees it.
    pub fn as_move(&self, prior: u8) -> Move {
        Move { changes: self.parts.iter().map(|index| edit(*index, self.written.number)).collect(), prior }
    }

    /// A text with it.
    pub fn onto(&self, text: &str) -> Option<String> {
        self.written.patch.onto(&Text::parse(text).ok()?, self.chosen()).ok().filter(|made| made != text)
    }

    /// `part 2 of #7: +3 −1 lines, let x = smear(&x);`
    pub fn words(&self) -> String {
        let name = match self.parts.as_slice() {
            [one] => change::part_name(one + 1, self.written.number),
            parts => {
                let numbers: Vec<String> = parts.iter().map(|part| (part + 1).to_string()).collect();
                format!("parts {} of #{}", numbers.join(", "), self.written.number)
            }
        };
        self.chosen().next().map_or(name.clone(), |first| format!("{name}: {}", part_words(first)))
    }

    fn chosen(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter_map(|part| self.written.patch.parts().get(*part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "const LR: f32 = 0.02;\nfn f() {\n    a();\n    b();\n    c();\n}\n";
    const CHILD: &str = "const LR: f32 = 0.03;\nfn f() {\n    a();\n    more(x; y);\n    b();\n    d();\n}\n";

    fn written(number: u64) -> Written {
        let [before, after] = [PARENT, &CHILD.replace("x; y", "x, y")].map(|text| Text::parse(text).unwrap());
        Written { number, patch: Patch::between(&before, &after).into() }
    }

    #[test]
    fn the_parts_of_a_trial_are_changes_of_the_champion() {
        let champion = PARENT.replace("    b();\n", "    b(2);\n");
        let found = Carried::all(&[written(7)], &Text::parse(&champion).unwrap());
        let words: Vec<String> = found.iter().map(Carried::words).collect();
        assert_eq!(
            words,
            [
                "parts 2, 3 of #7: +1 −0 lines, more(x, y);",
                "part 2 of #7: +1 −0 lines, more(x, y);",
                "part 3 of #7: +1 −1 lines, d();"
            ]
        );
        for carried in &found {
            assert_eq!(change::read(&carried.words()), carried.as_move(2).changes);
        }
        let made = found[0].onto(&champion).unwrap();
        assert_eq!(made, champion.replace("a();", "a();\n    more(x, y);").replace("    c();", "    d();"));
        assert_eq!(written(7).changes().len(), 2, "the rate is a step");
    }

    #[test]
    fn what_a_champion_has_or_cannot_have_is_left_out() {
        let has_one = PARENT.replace("c()", "d()");
        let found = Carried::all(&[written(7)], &Text::parse(&has_one).unwrap());
        assert_eq!(found.iter().map(Carried::words).collect::<Vec<_>>(), ["part 2 of #7: +1 −0 lines, more(x, y);"]);
        let has_others = PARENT.replace("    c();\n", "").replace("    b();\n", "    more(x, y);\n    b();\n");
        assert_eq!(Carried::all(&[written(7)], &Text::parse(&has_others).unwrap()).len(), 0);
    }
}
