//! What a reader of a served page has chosen: the axis of the picture, and words, verdict, order and number of the rows
//! of the table. It is in the address of the page, so that a reload, a link and an update show the same. Pure.

use crate::night::report::page::element::Cell;
use crate::night::report::scale::Axis;
use serde::Deserialize;
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Rows that are shown at first, and how many more at each wish.
const STEP: usize = 200;
/// Most rows of one page.
const MOST: usize = 20_000;
/// Most branches of one source in the lineage of a served page.
const BRANCHES: usize = 100;
/// Longest filter.
const WORDS_CHARS: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct View {
    /// Words that a row has to have.
    pub words: String,
    /// The verdict that it has to have.
    pub verdict: String,
    /// The head of the column that rows are sorted by.
    pub sort: String,
    /// `1` if the largest comes first.
    pub down: String,
    /// Most rows.
    pub rows: usize,
    /// The axis of the picture.
    pub axis: String,
    /// The only section that is wanted.
    pub part: String,
    /// Everything is shown, as in a file. No address says so.
    #[serde(skip)]
    is_whole: bool,
}

impl View {
    /// Everything, as in a file.
    pub const WHOLE: Self = Self {
        words: String::new(),
        verdict: String::new(),
        sort: String::new(),
        down: String::new(),
        rows: 0,
        axis: String::new(),
        part: String::new(),
        is_whole: true,
    };

    /// Whether a server shows the page, so that more of it can be asked for.
    pub fn is_served(&self) -> bool {
        !self.is_whole
    }

    pub fn most_rows(&self) -> usize {
        match self.rows {
            _ if self.is_whole => usize::MAX,
            0 => STEP,
            rows => rows.min(MOST),
        }
    }

    pub fn axis(&self) -> Option<Axis> {
        let named = Axis::ALL.into_iter().find(|axis| axis.name() == self.axis);
        self.is_served().then(|| named.unwrap_or(Axis::Trial))
    }

    pub fn branches(&self) -> usize {
        if self.is_served() { BRANCHES } else { usize::MAX }
    }

    /// Which way a column is sorted, in the words of `aria-sort`.
    pub fn order_of(&self, head: &str) -> &'static str {
        match (self.sort == head, self.down == "1") {
            (false, _) => "none",
            (true, false) => "ascending",
            (true, true) => "descending",
        }
    }

    /// The address of the page sorted by a column; the other way if it is sorted by it already.
    pub fn sorted_by(&self, head: &str) -> String {
        let down = self.order_of(head) == "ascending";
        Self { sort: head.into(), down: if down { "1".into() } else { String::new() }, ..self.clone() }.address()
    }

    /// The address of the page with more rows.
    pub fn with_more(&self) -> String {
        Self { rows: self.most_rows().saturating_add(STEP), ..self.clone() }.address()
    }

    fn address(&self) -> String {
        let rows = if self.rows == 0 { String::new() } else { self.rows.to_string() };
        let fields = [
            ("words", &self.words),
            ("verdict", &self.verdict),
            ("sort", &self.sort),
            ("down", &self.down),
            ("rows", &rows),
            ("axis", &self.axis),
        ];
        let mut out = String::new();
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            // Writing to a String does not fail.
            let _ = write!(out, "{}{name}={}", if out.is_empty() { '?' } else { '&' }, encoded(value));
        }
        if out.is_empty() { "?".into() } else { out }
    }

    /// The rows of a table that are wanted, in the wanted order, and how many there are of them in all.
    pub fn choose(&self, heads: &[&str], mut rows: Vec<Row>) -> (Vec<Row>, usize) {
        let words: String = self.words.chars().take(WORDS_CHARS).collect::<String>().to_lowercase();
        let words: Vec<&str> = words.split_whitespace().collect();
        rows.retain(|row| {
            let has_verdict = self.verdict.is_empty() || self.verdict == row.verdict;
            has_verdict && (words.is_empty() || words.iter().all(|word| row.text.contains(word)))
        });
        if let Some(column) = heads.iter().position(|head| *head == self.sort) {
            rows.sort_by(|a, b| compare(&a.cells[column], &b.cells[column], self.down == "1"));
        }
        let all = rows.len();
        rows.truncate(self.most_rows());
        (rows, all)
    }
}

/// A row of a table that can be chosen.
pub struct Row {
    pub attributes: String,
    pub cells: Vec<Cell>,
    pub verdict: &'static str,
    /// Its words in lower case; empty if nobody looks for words.
    pub text: String,
}

/// As `page.js` compares: what is missing comes last, whatever the direction.
fn compare(a: &Cell, b: &Cell, is_down: bool) -> Ordering {
    let is_missing = |cell: &Cell| cell.figure.is_none() && (cell.html == "–" || cell.html.is_empty());
    let turned = |order: Ordering| if is_down { order.reverse() } else { order };
    match (is_missing(a), is_missing(b)) {
        (false, false) => turned(match (a.figure, b.figure) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => a.html.to_lowercase().cmp(&b.html.to_lowercase()),
        }),
        (a, b) => a.cmp(&b),
    }
}

/// A value in the query of an address.
fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(byte.into()),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |(number, delta): (u32, Option<f64>)| Row {
            attributes: String::new(),
            cells: vec![
                Cell::figure(Some(f64::from(number)), |n| n.to_string()),
                Cell::figure(delta, |d| d.to_string()),
            ],
            verdict: if number == 2 { "keep" } else { "noise" },
            text: format!("change {number}"),
        };
        [(1, None), (2, Some(-0.5)), (3, Some(f64::NAN)), (4, Some(0.25))].map(row).into()
    }

    fn numbers(view: &View) -> Vec<f64> {
        let (rows, _) = view.choose(&["trial", "Δ"], rows());
        rows.iter().map(|row| row.cells[0].figure.unwrap()).collect()
    }

    #[test]
    fn rows_are_chosen_and_sorted() {
        let view = View::default();
        assert_eq!(numbers(&view), [1.0, 2.0, 3.0, 4.0]);
        let up = View { sort: "Δ".into(), ..view.clone() };
        assert_eq!(numbers(&up), [2.0, 4.0, 1.0, 3.0]);
        assert_eq!(numbers(&View { down: "1".into(), ..up }), [4.0, 2.0, 1.0, 3.0]);
        assert_eq!(numbers(&View { words: " CHANGE 2".into(), ..view.clone() }), [2.0]);
        assert_eq!(numbers(&View { verdict: "noise".into(), rows: 2, ..view.clone() }), [1.0, 3.0]);
        assert_eq!(View { verdict: "noise".into(), rows: 2, ..view }.choose(&[], rows()).1, 3);
    }

    #[test]
    fn addresses_keep_what_was_chosen() {
        let view = View { words: "a&b=\"<é".into(), ..View::default() };
        assert_eq!(view.sorted_by("Δ"), "?words=a%26b%3D%22%3C%C3%A9&sort=%CE%94");
        assert_eq!(View { sort: "Δ".into(), ..View::default() }.sorted_by("Δ"), "?sort=%CE%94&down=1");
        assert_eq!(View::default().with_more(), "?rows=400");
        assert_eq!(View { rows: usize::MAX - 1, ..View::default() }.most_rows(), MOST);
    }
}
