//! The sealed test against the search: what each champion on the path scored on the split that selected it, on the
//! confirm split, and on the sealed test, if that was read. Pure.

use crate::night::report::drawing::{Anchor, Drawing, Ink, Mark, Shape, point};
use crate::night::report::page::content::{Guest, Page};
use crate::night::report::page::element::{Cell, escaped, folded_table, trial_link};
use crate::night::report::page::plane::Plane;
use crate::night::report::picture::possible;
use crate::night::report::svg;
use crate::record::facts::signed;
use std::fmt::Write as _;

/// More champions than this have no dots of search and confirm.
const MOST_DOTS: usize = 60;
/// Most names of champions at the axis.
const NAMES: usize = 10;
/// Typical width of a character.
const CHAR: f64 = 6.9;

/// A split: its name, the ink of its line and that of its dots, and its score.
struct Split {
    name: &'static str,
    line: Ink,
    dot: Ink,
    of: fn(&Guest) -> Option<f64>,
}

const SPLITS: [Split; 3] = [
    Split { name: "search", line: Ink::Train, dot: Ink::Train, of: |guest| guest.search },
    Split { name: "confirm", line: Ink::Same, dot: Ink::Same, of: |guest| guest.confirm },
    Split { name: "sealed test", line: Ink::Best, dot: Ink::HeldOut, of: |guest| guest.test },
];

impl Split {
    fn score(&self, guest: &Guest) -> Option<f64> {
        possible((self.of)(guest))
    }
}

pub fn section(page: &Page) -> String {
    if page.path.is_empty() {
        return String::new();
    }
    let seed = std::iter::once((0, &page.baseline));
    let guests: Vec<(u64, &Guest)> = seed.chain(page.path.iter().map(|step| (step.number, &step.scores))).collect();
    let drawing = draw(&guests).map(|drawing| svg::part(&drawing, "sealed-plot")).unwrap_or_default();
    format!(
        "<h3>Sealed test against search</h3>\n<p class=\"note\">{}</p>\n<div class=\"wide losses\">{drawing}</div>\n{}",
        escaped(&words(&guests)),
        scores(&guests)
    )
}

/// What the comparison says, and for whom the test was read.
fn words(guests: &[(u64, &Guest)]) -> String {
    let read: Vec<String> = guests
        .iter()
        .filter(|(_, guest)| guest.test.is_some())
        .map(|(number, _)| if *number == 0 { "the baseline".into() } else { format!("#{number}") })
        .collect();
    let what = "The search saw the search split again and again, so its scores may flatter; a gain is real as far as it \
                is on the other splits too.";
    match read.as_slice() {
        [] => format!(
            "{what} The sealed test was not read yet. A night reads it when it ends, for its champion and the baseline; \
             host report --seal reads it for nights of agents and of try."
        ),
        all if all.len() == guests.len() => what.into(),
        all => format!("{what} The sealed test was read for {} only, since each reading wears it.", all.join(" and ")),
    }
}

fn scores(guests: &[(u64, &Guest)]) -> String {
    let rows = guests.iter().rev().map(|(number, guest)| {
        let bits = |split: &Split| Cell::figure(split.score(guest), |bpb| format!("{bpb:.4}"));
        let [search, confirm, test] = SPLITS.each_ref().map(bits);
        let gap = SPLITS[2].score(guest).zip(SPLITS[0].score(guest)).map(|(test, search)| test - search);
        let name = Cell { figure: Some(*number as f64), ..Cell::html(trial_link(*number)) };
        (String::new(), vec![name, search, confirm, test, Cell::figure(gap, signed)])
    });
    let caption = "Champions on the three splits, in bits per byte, the last one first";
    let heads = ["champion", "search", "confirm", "sealed test", "test − search"];
    folded_table("sealed", caption, &heads, rows.collect())
}

fn name(number: u64) -> String {
    if number == 0 { "seed".into() } else { format!("#{number}") }
}

fn draw(guests: &[(u64, &Guest)]) -> Option<Drawing> {
    let figures = || SPLITS.iter().flat_map(|split| guests.iter().filter_map(|(_, guest)| split.score(guest)));
    let plane = Plane::of([58.0, 620.0, 30.0, 200.0], figures())?;
    let about = "Bits per byte of the seed guest and of each champion on the search, the confirm and the sealed split";
    let mut drawing = Drawing::new(640.0, 262.0, "Sealed test against search".into(), about.into());
    plane.grid(&mut drawing, 3);
    let last = guests.len().saturating_sub(1).max(1) as f64;
    let x = |at: usize| plane.left + 10.0 + (plane.right - plane.left - 20.0) * at as f64 / last;
    for (at, (number, _)) in guests.iter().enumerate() {
        let every = guests.len().div_ceil(NAMES);
        if at % every == 0 || at + 1 == guests.len() && at % every > every / 2 {
            drawing.text(Ink::Words, (x(at), plane.bottom + 22.0), Anchor::Middle, name(*number));
        }
    }
    for split in &SPLITS {
        let points: Vec<(usize, u64, f64)> = guests
            .iter()
            .enumerate()
            .filter_map(|(at, (number, guest))| Some((at, *number, split.score(guest)?)))
            .collect();
        let mut path = String::new();
        for (at, _, bpb) in &points {
            // Writing to a String does not fail.
            let _ = write!(path, "{}{}", if path.is_empty() { "M" } else { "L" }, point(x(*at), plane.y(*bpb)));
        }
        if points.len() > 1 {
            drawing.path(split.line, path);
        }
        if points.len() <= MOST_DOTS {
            drawing.marks.extend(points.iter().map(|(at, number, bpb)| Mark {
                shape: Shape::Circle { x: x(*at), y: plane.y(*bpb), radius: 4.5 },
                ink: split.dot,
                trial: Some(*number),
                tip: format!("{} {} {bpb:.4}", name(*number), split.name),
            }));
        }
    }
    let mut left = plane.left;
    for Split { name, line, dot, .. } in &SPLITS {
        let y = plane.bottom + 48.0;
        drawing.path(*line, format!("M{}h20", point(left, y - 4.5)));
        drawing.add(*dot, Shape::Circle { x: left + 10.0, y: y - 4.5, radius: 4.5 });
        drawing.text(Ink::Words, (left + 28.0, y), Anchor::Start, *name);
        left += 56.0 + name.chars().count() as f64 * CHAR;
    }
    drawing.text(Ink::Words, (4.0, 14.0), Anchor::Start, "bits per byte");
    Some(drawing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(search: f64, confirm: Option<f64>, test: Option<f64>) -> Guest {
        Guest { search: Some(search), confirm, test, ..Guest::default() }
    }

    #[test]
    fn it_says_for_whom_the_test_was_read() {
        let (none, read) = (guest(2.5, None, None), guest(2.4, Some(2.45), Some(2.47)));
        let words = |guests: &[(u64, &Guest)]| words(guests);
        assert!(words(&[(0, &none), (1, &none)]).contains("host report --seal reads it"));
        let some = words(&[(0, &read), (1, &none), (2, &read)]);
        assert!(some.contains("was read for the baseline and #2 only"), "{some}");
        assert!(!words(&[(0, &read), (1, &read)]).contains("only"));
    }

    #[test]
    fn a_champion_has_what_the_test_is_worse_than_the_search() {
        let (seed, champion) = (guest(2.5, None, Some(2.52)), guest(2.4, Some(2.45), Some(2.47)));
        let html = scores(&[(0, &seed), (7, &champion)]);
        assert!(html.contains(">+0.0700</td>") && html.contains(">+0.0200</td>"), "{html}");
        assert!(html.find("#7").unwrap() < html.find(">seed<").unwrap(), "the last one first");
    }

    #[test]
    fn figures_that_no_text_can_have_are_not_drawn() {
        let odd = [f64::NAN, f64::INFINITY, -1e300].map(|bpb| guest(bpb, Some(bpb), Some(bpb)));
        let odd: Vec<(u64, &Guest)> = (0..).zip(&odd).collect();
        assert_eq!(draw(&odd), None);
        let html = scores(&odd);
        assert!(!html.contains("NaN") && !html.contains("inf") && !html.contains("000000"), "{html}");
        let one = guest(2.4, None, None);
        let drawing = draw(&[odd[0], (1, &one)]).unwrap();
        assert_eq!(drawing.marks.iter().filter(|mark| mark.trial.is_some()).count(), 1);
    }

    #[test]
    fn many_champions_fold_and_have_no_dots() {
        let one = guest(2.4, Some(2.4), None);
        let many: Vec<(u64, &Guest)> = (0..100).map(|number| (number, &one)).collect();
        assert!(scores(&many).contains("<summary>80 more</summary>"));
        assert_eq!(draw(&many).unwrap().marks.iter().filter(|mark| mark.trial.is_some()).count(), 0);
    }
}
