//! What a page has around the report: links to other nights, its state, and the script that keeps it up to date. Also
//! the pages that are no report: the list of nights, and what cannot be shown.

use crate::night::report::page::{Cell, Section, Served, escaped, table, whole};
use crate::night::report::watch::{News, State, Subject};
use crate::record::facts::duration;
use crate::record::store::Standing;
use crate::system::clock::unix_ms;
use crate::system::sanitize;
use std::fmt::Write as _;

const STYLE: &str = include_str!("dash.css");
const SCRIPT: &str = include_str!("dash.js");
/// Room for what trains now, which the script fills.
const NOW: &str = "<section id=\"now\" aria-label=\"What trains now\"><div><p class=\"what\"></p><p class=\"how\"></p>\
                   <progress max=\"1\" value=\"0\" aria-label=\"Share of the budget used\"></progress></div>\
                   <svg viewBox=\"0 0 100 40\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><polyline/></svg></section>\n";
/// Most characters of a policy's name in a list.
const NAME_CHARS: usize = 60;

/// What stands around a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    body: String,
    top: String,
}

impl Frame {
    /// Around a page about `subject` that was made from these news.
    pub fn of(news: &News, subject: Subject) -> Self {
        let standing = news.standing(subject);
        let events = match subject {
            Subject::All => "/events?night=all".to_string(),
            Subject::Last => "/events".into(),
            Subject::Night(night) => format!("/events?night={night}"),
        };
        // A night that is under way says what trains, and one that is awaited may soon.
        let is_open = standing.is_none_or(|standing| standing.night.ended_unix_ms.is_none());
        let now = if is_open && subject != Subject::All { NOW } else { "" };
        let mut body = format!(" data-events=\"{events}\" data-stamp=\"{}\"", news.stamp(subject));
        if let Some(Standing { night, last_unix_ms, .. }) = standing {
            // Writing to a String does not fail.
            let _ = write!(body, " data-night=\"{}\"", night.id);
            if let Some(last) = last_unix_ms {
                let _ = write!(body, " data-last=\"{last}\"");
            }
            if night.ended_unix_ms.is_some() {
                body += " data-ended=\"\"";
            }
        }
        Self { body, top: bar(&links(news, standing)) + now }
    }

    /// Around a page that does not change.
    pub fn still(news: &News) -> Self {
        Self { body: String::new(), top: bar(&links(news, None)) }
    }

    /// Around a page that says why there is no other: it is asked for again as soon as something changes.
    pub fn until_news(news: &News, subject: Subject) -> Self {
        let Self { body, top } = Self::of(news, subject);
        Self { body: format!(" data-until=\"\"{body}"), top }
    }

    pub fn served(&self) -> Served<'_> {
        Served { body: &self.body, top: &self.top, style: STYLE, script: SCRIPT }
    }

    /// All of it, to tell one from another.
    pub fn text(&self) -> String {
        format!("{}{}", self.body, self.top)
    }
}

/// Links to the nights beside one.
fn links(news: &News, standing: Option<&Standing>) -> String {
    let mut out = "<a href=\"/nights\">All nights</a>".to_string();
    let Some(standing) = standing else { return out };
    let nights = &news.sight.nights;
    let at = nights.iter().position(|other| other.night.id == standing.night.id).unwrap_or(0);
    let beside = [at.checked_sub(1).and_then(|at| nights.get(at)), nights.get(at + 1)];
    for (other, (before, after)) in beside.into_iter().zip([("‹ ", ""), ("", " ›")]) {
        if let Some(id) = other.map(|other| other.night.id) {
            let _ = write!(out, " <a href=\"/night/{id}\">{before}night {id}{after}</a>");
        }
    }
    if let [Some(before), _] = beside {
        let (a, b) = (before.night.id, standing.night.id);
        let _ = write!(out, " <a href=\"/compare?a={a}&amp;b={b}\">Compare with night {a}</a>");
    }
    out
}

fn bar(links: &str) -> String {
    format!(
        "<div class=\"bar\"><nav aria-label=\"Nights\"><a class=\"home\" href=\"/\">nightlab</a> {links}</nav>\n\
         <p id=\"state\" data-state=\"\">not live</p></div>\n\
         <p id=\"said\" class=\"unseen\" role=\"status\" aria-live=\"polite\"></p>\n"
    )
}

/// The list of nights.
pub fn nights(news: &News, frame: &Frame) -> Result<String, serde_json::Error> {
    let now = unix_ms();
    let rows = news.sight.nights.iter().rev().map(|standing| {
        let Standing { night, trials, kept, champion_bpb, last_unix_ms, .. } = standing;
        let count = |count: u64| Cell::figure(Some(count as f64), |count| format!("{count:.0}"));
        let id = Cell::html(format!("<a href=\"/night/{0}\">{0}</a>", night.id));
        let ago = |ms: i64| Cell::figure(Some(ms as f64), |ms| format!("{} ago", duration((now as f64 - ms) / 1e3)));
        let cells = vec![
            Cell { figure: Some(night.id as f64), ..id },
            Cell::text(&sanitize::line(&night.policy_name, NAME_CHARS)),
            Cell::text(if night.ended_unix_ms.is_some() { "ended" } else { "under way, or stopped" }),
            count(*trials),
            count(*kept),
            Cell::figure(champion_bpb.filter(|bpb| bpb.is_finite()), |bpb| format!("{bpb:.4}")),
            ago(night.started_unix_ms),
            ago(last_unix_ms.unwrap_or(night.started_unix_ms)),
        ];
        (format!(" id=\"n{}\"", night.id), cells)
    });
    let heads = ["night", "policy", "state", "trials", "kept", "champion, bits per byte", "began", "last trial"];
    let list = match news.sight.nights.is_empty() {
        true => format!("<p class=\"lead\">{}</p>\n", escaped(&nothing(news))),
        false => table("nights-table", "The nights of this store, newest first", &heads, rows),
    };
    let section = |id, heading, body| Section { id, heading, body };
    let sections = [section("nights", "Nights", list), section("compare", "Compare two", compare_form(news))];
    let none: [(); 0] = [];
    whole("Nights", "", &sections, &none, &frame.served())
}

/// Chooses two nights to compare.
fn compare_form(news: &News) -> String {
    let ids: Vec<i64> = news.sight.nights.iter().rev().map(|standing| standing.night.id).collect();
    if ids.len() < 2 {
        return String::new();
    }
    let choose = |name: &str, chosen: usize| {
        let option = |(at, id): (usize, &i64)| {
            let selected = if at == chosen { " selected=\"\"" } else { "" };
            format!("<option value=\"{id}\"{selected}>night {id}</option>")
        };
        let options: String = ids.iter().enumerate().map(option).collect();
        format!("<label>{} <select name=\"{name}\">{options}</select></label> ", name.to_uppercase())
    };
    format!(
        "<form action=\"/compare\">{}{}<button type=\"submit\">Compare</button></form>\n",
        choose("a", 1),
        choose("b", 0)
    )
}

/// Why there is no night to show.
pub fn nothing(news: &News) -> String {
    match &news.state {
        State::Waiting(words) | State::Failed(words) => words.clone(),
        State::NoStore => "There is no store here yet. `host run --policy smoke` makes one; this page fills when its \
                           first night begins."
            .into(),
        State::Ready => {
            "The store has no night yet: one begins when its baseline is measured, and this page fills then. \
                         `host run --policy smoke` makes one."
                .into()
        }
    }
}

/// A page that says why there is no other.
pub fn message(title: &str, words: &str, frame: &Frame) -> Result<String, serde_json::Error> {
    let none: [(); 0] = [];
    whole(title, &format!("<p class=\"lead\">{}</p>\n", escaped(words)), &[], &none, &frame.served())
}
