//! Two nights side by side. Pure.

use crate::night::report::chart;
use crate::night::report::page::champion::held;
use crate::night::report::page::content::Page;
use crate::night::report::page::element::{Cell, escaped, table};
use crate::night::report::page::search;
use crate::record::ending::Ending;
use crate::record::facts;
use crate::record::facts::{duration, signed};
use crate::record::spend::dollars;
use crate::system::sanitize;

const SIDES: [&str; 2] = ["A", "B"];

fn name(page: &Page) -> String {
    format!("night {} of {}", page.picture.night, sanitize::line(&page.picture.policy, 40))
}

/// Which night is which.
pub fn names(nights: &[Page; 2]) -> String {
    let line = |(page, side): (&Page, &str)| {
        format!(
            "<p><strong>{side}</strong>: {} · {}</p>\n",
            escaped(&name(page)),
            escaped(&chart::facts(&page.picture))
        )
    };
    let lines: String = nights.iter().zip(SIDES).map(line).collect();
    let [a, b] = nights;
    let differ = [
        ("text", a.task != b.task),
        ("budget", a.picture.budget_s != b.picture.budget_s),
        ("profile", a.profile != b.profile),
    ];
    let differ: Vec<&str> = differ.into_iter().filter(|(_, differ)| *differ).map(|(name, _)| name).collect();
    if differ.is_empty() {
        return lines;
    }
    let warning = format!("These nights differ in {}, so their scores do not compare.", differ.join(" and "));
    format!("{lines}<p class=\"trouble\">{warning}</p>\n")
}

/// One row for each figure.
/// The gain of a night in per cent, on the search split and on the sealed test.
fn percents(page: &Page) -> [String; 2] {
    page.picture.gains(2).map(|gain| gain.map_or("–".into(), |(_, percent)| percent))
}

pub fn figures(nights: &[Page; 2]) -> String {
    type Figure = fn(&Page) -> String;
    let bits = |figure: Option<f64>| figure.map_or("–".into(), |bpb| format!("{bpb:.4}"));
    let rows: [(&str, Figure); 17] = [
        ("baseline, bits per byte", |page| page.baseline.search.map_or("–".into(), |bpb| format!("{bpb:.4}"))),
        ("noise of a score", |page| {
            page.picture.baseline.map_or("–".into(), |level| format!("± {:.4}", level.noise))
        }),
        ("gain of the night", |page| {
            let [began, last] = page.picture.scores;
            began.search.zip(last.search).map_or("–".into(), |(began, last)| signed(last - began))
        }),
        ("gain in per cent", |page| percents(page)[0].clone()),
        ("gain on the sealed test", |page| percents(page)[1].clone()),
        ("trials", |page| page.picture.trials.len().to_string()),
        ("kept", |page| page.count(|ending| ending == Ending::Keep).to_string()),
        ("no gain proven", |page| page.count(|ending| ending == Ending::Noise).to_string()),
        ("worse", |page| page.count(|ending| ending == Ending::Discard).to_string()),
        ("failed or refused", |page| page.count(Ending::is_failure).to_string()),
        ("repeats", |page| page.search.repeats.to_string()),
        ("training runs", |page| page.picture.runs.to_string()),
        ("training of one experiment", |page| format!("{} s", page.picture.budget_s)),
        ("time", |page| duration(page.picture.seconds)),
        ("time per trial", |page| duration(page.picture.seconds / page.picture.trials.len().max(1) as f64)),
        ("cost of proposals", |page| dollars(page.picture.micro_dollars)),
        ("gains that held again", |page| {
            let (held, all) = held(page.entries.iter().flat_map(|entry| &entry.again));
            if all == 0 { "–".into() } else { format!("{held} of {all}") }
        }),
    ];
    let mut rows: Vec<_> = rows.iter().map(|(name, figure)| row(name, nights.each_ref().map(*figure))).collect();
    let champion = |page: &Page| page.path.last().map(|step| step.scores.clone()).unwrap_or_default();
    rows.push(row("champion on the search split", nights.each_ref().map(|page| bits(champion(page).search))));
    rows.push(row("champion on the confirm split", nights.each_ref().map(|page| bits(champion(page).confirm))));
    rows.push(row("champion on the test split", nights.each_ref().map(|page| bits(champion(page).test))));
    rows.push(row(
        "data in the champion's source",
        nights.each_ref().map(|page| {
            let last = page.path.last().and_then(|step| page.entry(step.number));
            last.and_then(|entry| entry.data_bytes).map_or("–".into(), facts::bytes)
        }),
    ));
    table("figures-table", "Figures of both nights", &["figure", "A", "B"], rows)
}

fn row(name: &str, [a, b]: [String; 2]) -> (String, Vec<Cell>) {
    let figure = |words: String| Cell { is_figure: true, ..Cell::text(&words) };
    (String::new(), vec![Cell::text(name), figure(a), figure(b)])
}

/// What each night kept, in two columns.
pub fn kept(nights: &[Page; 2]) -> String {
    columns(nights, |page, side| {
        let rows = page.trials().filter(|entry| entry.ending == Ending::Keep).map(|entry| {
            let p = Cell::figure(entry.p_better, |p| format!("{p:.3}"));
            let number = Cell::text(&format!("#{}", entry.number));
            (String::new(), vec![number, Cell::text(&entry.change), Cell::figure(entry.delta, signed), p])
        });

        let caption = format!("{side}: {}", name(page));
        table(&format!("kept-{side}"), &caption, &["trial", "change", "Δ", "P(better)"], rows)
    })
}

pub fn operators(nights: &[Page; 2]) -> String {
    columns(nights, |page, side| {
        search::operators(&format!("operators-{side}"), &format!("{side}: {}", name(page)), &page.search.tried)
    })
}

fn columns(nights: &[Page; 2], column: impl Fn(&Page, &str) -> String) -> String {
    let both: String = nights.iter().zip(SIDES).map(|(page, side)| column(page, side)).collect();
    format!("<div class=\"columns\">{both}</div>\n")
}
