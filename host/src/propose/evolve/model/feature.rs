//! The model's unknowns, and how much of each a set of changes has.

use crate::propose::evolve::model::change::Change;
use std::collections::{BTreeMap, BTreeSet};

/// An unknown of the model, in bits per byte that are gained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature<'a> {
    /// The gain for each step of a constant, at its value in the champion.
    Slope(&'a str),
    /// The gain for each squared step from there.
    Curvature(&'a str),
    /// The gain of an edit.
    Edit(&'a str),
    /// What all edits of a place have in common: that what stood there has gone.
    Place(&'a str),
    /// What chance did to a champion on its random seeds: all that meet it there have this in common.
    Champion(u64),
}

/// Shares of unknowns that add up to a gain.
pub type Row<'a> = Vec<(Feature<'a>, f64)>;

/// Turns changes into rows. Of the choices at one place, the one that was there first has no effect of its own.
#[derive(Clone, Debug, Default)]
pub struct Reader<'a> {
    /// The constants of the present champion.
    here: BTreeMap<&'a str, f64>,
    made: BTreeSet<&'a str>,
    first: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    /// Steps are squared from these values of constants.
    pub fn new(here: BTreeMap<&'a str, f64>) -> Self {
        Self { here, ..Self::default() }
    }

    /// The row of some changes. Trials are read in their order.
    pub fn row(&mut self, changes: &'a [Change]) -> Row<'a> {
        let mut row = BTreeMap::new();
        for change in changes {
            match change {
                Change::Step { name, from, to } => {
                    let here = self.here.get(name.as_str()).copied().unwrap_or(*from);
                    let (before, after) = (from - here, to - here);
                    add(&mut row, Feature::Slope(name), after - before);
                    add(&mut row, Feature::Curvature(name), after * after - before * before);
                }
                Change::Without { made } => edit(&mut row, made, -1.0),
                Change::Edit { made, instead_of } => {
                    if let Some(was) = instead_of {
                        if !self.made.contains(was.as_str()) {
                            self.first.insert(was);
                        }
                        if !self.first.contains(was.as_str()) {
                            edit(&mut row, was, -1.0);
                        }
                    }
                    if !self.first.contains(made.as_str()) {
                        self.made.insert(made);
                        edit(&mut row, made, 1.0);
                    }
                }
            }
        }
        row.into_iter().filter(|(_, share)| *share != 0.0).collect()
    }
}

fn add<'a>(row: &mut BTreeMap<Feature<'a>, f64>, feature: Feature<'a>, share: f64) {
    *row.entry(feature).or_insert(0.0) += share;
}

fn edit<'a>(row: &mut BTreeMap<Feature<'a>, f64>, made: &'a str, share: f64) {
    add(row, Feature::Edit(made), share);
    if let Some((place, _)) = made.split_once(": ") {
        add(row, Feature::Place(place), share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::evolve::model::change::read;

    #[test]
    fn the_choice_that_was_there_first_has_no_effect_of_its_own() {
        let words =
            ["activation in mlp: relu² → gelu", "activation in mlp: gelu → silu", "activation in mlp: gelu → relu²"];
        let changes = words.map(read);
        let mut reader = Reader::default();
        let (gelu, silu) = (Feature::Edit("activation in mlp: gelu"), Feature::Edit("activation in mlp: silu"));
        let place = Feature::Place("activation in mlp");
        assert_eq!(reader.row(&changes[0]), [(gelu, 1.0), (place, 1.0)]);
        assert_eq!(reader.row(&changes[1]), [(gelu, -1.0), (silu, 1.0)]);
        assert_eq!(reader.row(&changes[2]), [(gelu, -1.0), (place, -1.0)]);
    }

    #[test]
    fn what_is_taken_back_is_the_negative_of_what_was_made() {
        let [made, without] = ["part 1 of #7: x", "without part 1 of #7: x"].map(read);
        let part = Feature::Edit("part 1 of #7");
        let mut reader = Reader::default();
        assert_eq!((reader.row(&made), reader.row(&without)), (vec![(part, 1.0)], vec![(part, -1.0)]));
    }

    #[test]
    fn steps_are_squared_from_the_present_champion() {
        let step = [Change::Step { name: "LR".into(), from: 1.0, to: 2.0 }];
        let mut reader = Reader::new(BTreeMap::from([("LR", 2.0)]));
        assert_eq!(reader.row(&step), [(Feature::Slope("LR"), 1.0), (Feature::Curvature("LR"), -1.0)]);
        assert_eq!(Reader::default().row(&step), [(Feature::Slope("LR"), 1.0), (Feature::Curvature("LR"), 1.0)]);
    }
}
