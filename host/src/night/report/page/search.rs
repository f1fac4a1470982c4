//! What the night tried: operators, proposers, failures, near-misses, repeats, cost; and what the page could not show.
//! Pure.

use crate::night::report::chart;
use crate::night::report::files;
use crate::night::report::page::content::Page;
use crate::night::report::page::element::{Cell, details, escaped, table, trial_link};
use crate::night::report::page::{lanes, moved, sealed};
use crate::propose::evolve::known::Idea;
use crate::record::facts::{duration, signed};
use crate::record::spend::dollars;

/// Operators that were not tried and are at least this promising are shown at once.
const PROMISING: u8 = 2;

/// What the night did, in a few lines under the heading.
pub fn summary(page: &Page) -> String {
    let state = match page.ended_unix_ms {
        Some(_) => "",
        None => " · under way, or stopped",
    };
    let mut out = format!("<p>{}{state}</p>\n", escaped(&chart::facts(&page.picture)));
    let [search, sealed] = page.picture.gains(1);
    if let Some((scores, percent)) = search {
        let sealed = sealed.map(|(scores, percent)| format!("; sealed test {scores} ({percent})")).unwrap_or_default();
        let words = format!("{scores} bits per byte ({percent}) on the search split{sealed}");
        out += &format!("<p class=\"gain\">{}</p>\n", escaped(&words));
    }
    out
}

pub fn section(page: &Page) -> String {
    let search = &page.search;
    let mut out = String::new();
    if !page.picture.trials.is_empty() {
        out += &moved::section(&search.importance);
    }
    out += &sealed::section(page);
    out += &lanes::section(page);
    if !search.tried.is_empty() {
        let caption = "What operators did: mean difference to the champion, with its standard error. A bundle has \
                       several changes.";
        out += &operators("operators", caption, &search.tried);
    }
    if !search.accounts.is_empty() {
        let rows = files::account_rows(&search.accounts);
        let heads: Vec<&str> = rows.first().map(|row| row.iter().map(String::as_str).collect()).unwrap_or_default();
        let rows = rows.iter().skip(1).map(|row| (String::new(), row.iter().map(|cell| account_cell(cell)).collect()));
        out += &table("proposers", "What proposers did and cost", &heads, rows);
        for line in files::troubles(&search.accounts) {
            out += &format!("<p class=\"trouble\">{}</p>\n", escaped(&line));
        }
    }
    if !search.near_misses.is_empty() {
        let rows = search.near_misses.iter().filter_map(|number| page.entry(*number)).map(|entry| {
            let delta = Cell::figure(entry.delta, signed);
            let p = Cell::figure(entry.p_better, |p| format!("{p:.3}"));
            (String::new(), vec![Cell::html(trial_link(entry.number)), Cell::text(&entry.change), delta, p])
        });
        let heads = ["trial", "change", "Δ", "P(better)"];
        out += &table("near", "Near-misses: better on average, but not proven", &heads, rows);
    }
    if !search.failures.is_empty() {
        let rows = search.failures.iter().map(|(kind, count)| {
            (String::new(), vec![Cell::text(kind), Cell::figure(Some(*count as f64), |count| format!("{count:.0}"))])
        });
        out += &table("failures", "Failures by kind", &["kind", "trials"], rows);
    }
    if search.repeats > 0 {
        let saved = duration(search.saved_s);
        let words = format!("Repeats that were not trained again: {}, which saved about {saved}.", search.repeats);
        out += &format!("<p>{}</p>\n", escaped(&words));
    }
    if page.picture.micro_dollars > 0 {
        out += &format!("<p>Proposals cost {}.</p>\n", dollars(page.picture.micro_dollars));
    }
    out + &untried(&search.untried)
}

/// A cell of the accounts, whose figures are sorted by their value.
fn account_cell(words: &str) -> Cell {
    let figure = words.trim_start_matches('$').parse().ok();
    Cell { figure, is_figure: figure.is_some(), ..Cell::text(words) }
}

fn untried(ideas: &[Idea]) -> String {
    if ideas.is_empty() {
        return String::new();
    }
    let list = |ideas: &[&Idea]| {
        let rows = ideas.iter().map(|idea| {
            let prior = Cell::figure(idea.prior.map(f64::from), |prior| format!("{prior:.0}"));
            (String::new(), vec![Cell::text(&idea.operator), prior, Cell::text(idea.evidence.unwrap_or_default())])
        });

        let caption =
            "Operators without a trial of their own; bundles may hold them. Prior: 0 (unlikely to help) to 3.";
        table("untried", caption, &["operator", "prior", "evidence of others"], rows)
    };
    let all: Vec<&Idea> = ideas.iter().collect();
    let promising = ideas.iter().filter(|idea| idea.prior >= Some(PROMISING)).count();
    details(&format!("What was not tried alone: {} operators, {promising} of them promising", all.len()), &list(&all))
}

/// What operators did. `id` names the table.
pub fn operators(id: &str, caption: &str, ideas: &[Idea]) -> String {
    let rows = ideas.iter().map(|idea| {
        let effect = &idea.effect;
        let count = |count: u32| Cell::figure(Some(f64::from(count)), |count| format!("{count:.0}"));
        let error = effect.error.filter(|error| error.is_finite());
        let delta = Cell::figure(effect.delta, |delta| match error {
            Some(error) => format!("{} ± {error:.4}", signed(delta)),
            None => signed(delta),
        });
        let cells =
            vec![Cell::text(&idea.operator), count(effect.tries), count(effect.kept), count(effect.unscored), delta];
        (String::new(), cells)
    });
    table(id, caption, &["operator", "tries", "kept", "no score", "mean Δ"], rows)
}

/// What the store has lost.
pub fn lost(page: &Page) -> String {
    if page.lost.is_empty() {
        return String::new();
    }
    let items: String = page.lost.iter().map(|what| format!("<li>{}</li>\n", escaped(what))).collect();
    format!(
        "<p>The store has lost this, or it is damaged. The rest of the page does not depend on it.</p>\n\
         <ul>\n{items}</ul>\n"
    )
}
