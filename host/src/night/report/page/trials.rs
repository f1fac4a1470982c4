//! The table of all trials, and the counts beside the staircase. Pure.

use crate::night::report::page::content::{Entry, Page};
use crate::night::report::page::element::{Cell, escaped, table, trial_link};
use crate::record::ending::Ending;
use crate::record::facts::{duration, signed};
use crate::record::spend::dollars;
use crate::system::sanitize;

/// Longest reason in the table; the details have all of it.
const REASON_CHARS: usize = 160;

/// How the trials ended, in a line.
pub fn state(page: &Page) -> String {
    if page.picture.trials.is_empty() {
        return "<p>No trials yet.</p>\n".into();
    }
    let counts = Ending::ALL.into_iter().map(|ending| (ending, page.count(|other| other == ending)));
    let counts: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(ending, count)| format!("{count} {}", ending.name())).collect();
    let words = "Each trial stands at its champion's level plus its difference to it on the same random seeds: below \
                 the line is better. The band is what chance does to one score.";
    format!("<p class=\"note\">{}. {}</p>\n", escaped(&counts.join(", ")), escaped(words))
}

pub fn section(page: &Page) -> String {
    let with_cost = page.picture.micro_dollars > 0;
    let rows: Vec<_> = page.trials().map(|entry| row(entry, with_cost)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut heads = vec!["trial", "verdict", "change", "Δ", "P(better)", "seeds", "bits per byte", "proposer", "took"];
    if with_cost {
        heads.push("cost");
    }
    heads.push("why");
    filter(page)
        + &table("all", "Every trial of the night; a click on its number shows its source and runs", &heads, rows)
}

fn row(entry: &Entry, with_cost: bool) -> (String, Vec<Cell>) {
    let mut cells = vec![
        Cell { figure: Some(entry.number as f64), ..Cell::html(trial_link(entry.number)) },
        Cell::html(format!("<span class=\"verdict {0}\">{0}</span>", entry.ending.name())),
        Cell::text(&entry.change),
        Cell::figure(entry.delta, signed),
        Cell::figure(entry.p_better, |p| format!("{p:.3}")),
        Cell::figure(entry.pairs.map(f64::from), |pairs| format!("{pairs:.0}")),
        Cell::figure(entry.bpb, |bpb| format!("{bpb:.4}")),
        Cell::text(&entry.proposer),
        Cell::figure(Some(entry.wall_s), duration),
    ];
    if with_cost {
        let cost = dollars(entry.spend.micro_dollars);
        cells.push(Cell::figure(Some(entry.spend.micro_dollars as f64), |_| cost.clone()));
    }
    cells.push(Cell::text(&sanitize::line(&entry.reason, REASON_CHARS)));
    (format!(" id=\"t{}\" class=\"{}\"", entry.number, entry.ending.name()), cells)
}

/// What the script needs to filter. Without a script it stays hidden.
fn filter(page: &Page) -> String {
    let endings = Ending::ALL.into_iter().filter(|ending| page.count(|other| other == *ending) > 0);
    let options: String = endings.map(|ending| format!("<option>{}</option>", ending.name())).collect();
    format!(
        "<form id=\"filter\" role=\"search\" hidden=\"\"><label>Words <input type=\"search\" id=\"words\"/></label> \
         <label>Verdict <select id=\"verdict\"><option value=\"\">all</option>{options}</select></label> \
         <output id=\"count\"></output></form>\n"
    )
}
