//! The table of all trials, and the counts beside the staircase. Pure.

use crate::night::report::page::content::{Entry, Page};
use crate::night::report::page::element::{Cell, Head, escaped, table, table_of, trial_link};
use crate::night::report::page::view::{Row, View};
use crate::night::report::picture::sureness;
use crate::record::ending::Ending;
use crate::record::facts::{duration, signed};
use crate::record::spend::dollars;
use crate::system::sanitize;

/// Longest reason in the table; the details have all of it.
const REASON_CHARS: usize = 160;
/// Longest change in the list of keeps.
const CHANGE_CHARS: usize = 160;

/// Most keeps that are listed under the staircase.
const KEPT: usize = 12;

/// The keeps of the night, the last one first: the labels of the staircase.
pub fn kept(page: &Page) -> String {
    let kept: Vec<&Entry> = page.trials().filter(|entry| entry.ending == Ending::Keep).collect();
    let item = |entry: &&Entry| {
        let figures = [entry.delta.map(signed), entry.p_better.map(sureness)];
        let figures: Vec<String> = figures.into_iter().flatten().collect();
        format!(
            "<li>{} <span class=\"figures\">{}</span> {}</li>\n",
            trial_link(entry.number),
            escaped(&figures.join(" · ")),
            escaped(&sanitize::cut(&entry.change, CHANGE_CHARS, "…"))
        )
    };
    let items: String = kept.iter().rev().take(KEPT).map(item).collect();
    let more = match kept.len().checked_sub(KEPT) {
        Some(more @ 1..) => format!("<li>and {more} before; the path to the best has all of them</li>\n"),
        _ => String::new(),
    };
    if items.is_empty() { items } else { format!("<ul class=\"kept\" id=\"keeps\">\n{items}{more}</ul>\n") }
}

/// How the trials ended, in a line.
pub fn state(page: &Page) -> String {
    if page.picture.trials.is_empty() {
        return "<p>No trials yet.</p>\n".into();
    }
    let counts = Ending::ALL.into_iter().map(|ending| (ending, page.count(|other| other == ending)));
    let counts: Vec<String> =
        counts.filter(|(_, count)| *count > 0).map(|(ending, count)| format!("{count} {}", ending.name())).collect();
    let words = "Each trial stands at its champion's level plus its difference to it on the same random seeds: below \
                 the line is better. So the line adds up differences, and may end elsewhere than the champion's mean \
                 score. The band is what chance does to one score.";
    format!("<p class=\"note\">{}. {}</p>\n", escaped(&counts.join(", ")), escaped(words))
}

/// The table, with the rows that the reader wants.
pub fn section(page: &Page, view: &View) -> String {
    let with_cost = page.picture.micro_dollars > 0;
    let with_words = !view.words.is_empty();
    let rows = page.trials().map(|entry| {
        let (attributes, cells) = row(entry, with_cost);
        let text = if with_words { text(entry, &cells) } else { String::new() };
        Row { attributes, cells, verdict: entry.ending.name(), text }
    });
    let rows: Vec<Row> = rows.collect();
    let of = rows.len();
    if rows.is_empty() {
        return String::new();
    }
    let mut heads = vec!["trial", "verdict", "change", "Δ", "P(better)", "seeds", "bits per byte", "proposer", "took"];
    if with_cost {
        heads.push("cost");
    }
    heads.push("why");
    let (chosen, all) = view.choose(&heads, rows);
    let shown = chosen.len();
    let caption = "Every trial of the night; a click on its number shows its source and runs";
    let rows = chosen.into_iter().map(|row| (row.attributes, row.cells));
    if !view.is_served() {
        return filter(page) + &table("all", caption, &heads, rows);
    }
    let linked = heads.iter().map(|head| {
        let attributes = format!(" data-column=\"{head}\" aria-sort=\"{}\"", view.order_of(head));
        (attributes, format!("<a href=\"{}\">{head}</a>", escaped(&view.sorted_by(head))))
    });
    let linked: Vec<Head> = linked.collect();
    let mut out = served_filter(page, view, (shown, all, of)) + &table_of("all", caption, &linked, rows);
    if shown < all {
        let address = escaped(&view.with_more());
        out += &format!("<p><a class=\"more\" href=\"{address}\">Show more: {} are left</a></p>\n", all - shown);
    }
    out
}

/// The words of a row, as its cells show them.
fn text(entry: &Entry, cells: &[Cell]) -> String {
    let figures = cells.iter().filter(|cell| cell.is_figure).map(|cell| cell.html.as_str());
    let words = [entry.ending.name(), &entry.change, &entry.proposer, &entry.reason];
    let text: Vec<&str> = words.into_iter().chain(figures).collect();
    format!("#{} {}", entry.number, text.join(" ")).to_lowercase()
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
    format!(
        "<form id=\"filter\" role=\"search\" hidden=\"\"><label>Words <input type=\"search\" id=\"words\"/></label> \
         <label>Verdict <select id=\"verdict\"><option value=\"\">all</option>{}</select></label> \
         <output id=\"count\"></output></form>\n",
        options(page, "")
    )
}

/// The filter of a server. Without a script, a press of Enter sends it.
fn served_filter(page: &Page, view: &View, (shown, all, of): (usize, usize, usize)) -> String {
    let kept = [("sort", &view.sort), ("down", &view.down), ("axis", &view.axis)];
    let kept = kept.iter().filter(|(_, value)| !value.is_empty());
    let kept: String = kept
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\"/>", escaped(value)))
        .collect();
    let count = if all == of { format!("{shown} of {of}") } else { format!("{shown} of {all} that match, of {of}") };
    format!(
        "<form id=\"filter\" role=\"search\"><label>Words <input type=\"search\" id=\"words\" name=\"words\" value=\"{}\"/></label> \
         <label>Verdict <select id=\"verdict\" name=\"verdict\"><option value=\"\">all</option>{}</select></label> \
         {kept}<output id=\"count\">{count}</output></form>\n",
        escaped(&view.words),
        options(page, &view.verdict)
    )
}

fn options(page: &Page, chosen: &str) -> String {
    let endings = Ending::ALL.into_iter().filter(|ending| page.count(|other| other == *ending) > 0);
    let option = |ending: Ending| {
        let selected = if ending.name() == chosen { " selected=\"\"" } else { "" };
        format!("<option{selected}>{}</option>", ending.name())
    };
    endings.map(option).collect()
}
