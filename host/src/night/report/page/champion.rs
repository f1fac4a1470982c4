//! The champion: its scores beside the baseline's, what it changes, what it costs, and the path that led to it. Pure.

use crate::night::report::drawing::{Anchor, Drawing, Ink, Shape, point};
use crate::night::report::page::content::{Entry, Guest, Page, Step};
use crate::night::report::page::element::{Cell, comparison, details, escaped, table, trial_link};
use crate::night::report::page::plane::Plane;
use crate::night::report::picture::sureness;
use crate::night::report::svg;
use crate::record::facts;
use crate::record::facts::signed;
use std::fmt::Write as _;

/// A comparison with at most so many lines is shown open.
const SHORT: usize = 60;

pub fn section(page: &Page) -> String {
    let number = page.champion.as_ref().map_or(0, |champion| champion.number);
    let Some(entry) = page.entry(number) else { return String::new() };
    let mut out = match &page.champion {
        Some(_) => format!("<p class=\"lead\">Trial {}: {}</p>\n", trial_link(number), escaped(&entry.change)),
        None => "<p class=\"lead\">No gain was proven: the champion is the baseline.</p>\n".into(),
    };
    out += &scores(page);
    out += &sentences(page, entry);
    if let Some(drawing) = curves(page, entry) {
        out +=
            &format!("<h3>Loss in training</h3>\n<div class=\"wide losses\">{}</div>\n", svg::part(&drawing, "losses"));
    }
    out += &costs(entry);
    if let Some(champion) = page.champion.as_ref().filter(|champion| !champion.changes.is_empty()) {
        let count = champion.changes.iter().filter(|line| matches!(line.sign, '+' | '−')).count();
        out +=
            &details(&format!("All {count} lines that it changes of the seed guest"), &comparison(&champion.changes));
    }
    if !page.sample.is_empty() {
        out += &format!("<h3>It writes</h3>\n<pre class=\"sample\" tabindex=\"0\">{}</pre>\n", escaped(&page.sample));
    }
    out
}

fn scores(page: &Page) -> String {
    let row = |name: String, guest: &Guest| {
        let bits = |figure: Option<f64>| Cell::figure(figure, |bpb| format!("{bpb:.4}"));
        let seeds = Cell::figure(Some(guest.seeds as f64), |seeds| format!("{seeds:.0}"));
        (String::new(), vec![Cell::html(name), bits(guest.search), seeds, bits(guest.confirm), bits(guest.test)])
    };
    let mut rows = vec![row("baseline".into(), &page.baseline)];
    for step in page.path.iter().rev().take(1) {
        rows.push(row(format!("champion {}", trial_link(step.number)), &step.scores));
    }
    let is_sealed = page.baseline.test.is_none() && page.path.last().is_none_or(|step| step.scores.test.is_none());
    let test = if is_sealed { "sealed until the end of the night" } else { "read at the end" };
    let caption =
        format!("Bits per byte. Search: the split that selection used. Confirm: read before a keep. Test: {test}.");
    table("scores", &caption, &["guest", "search", "seeds", "confirm", "test"], rows)
}

fn sentences(page: &Page, entry: &Entry) -> String {
    let mut items = Vec::new();
    let (held, all) = held(page.entries.iter().flat_map(|entry| &entry.again));
    if all > 0 {
        let own = held_of(entry);
        items.push(format!(
            "Held again: kept trials were better than their predecessors {held} of {all} times on random seeds that no \
             keep rests on{own}."
        ));
    }
    match page.champion.as_ref().and_then(|champion| champion.causality) {
        Some("proved") => {
            items.push("Causal: proved for all texts that it reads no later token and no other chunk.".into());
        }
        Some(_) => {
            items.push("Causal: probed on the scored text that it reads no later token and no other chunk.".into())
        }
        None => {}
    }
    if let Some(bytes) = entry.data_bytes {
        items.push(format!("Its source {}.", facts::data_words(bytes)));
    }
    if let Some(share) = entry.trained_share {
        items.push(format!("It {}.", facts::trained_words(share)));
    }
    if let Some(((_, last), held_out)) = entry.curve.last().zip(entry.held_out_nats) {
        let gap = held_out - last;
        items.push(format!(
            "Loss at the end of training {last:.4} nats per token, on held-out text {held_out:.4}: a gap of {}.",
            signed(gap)
        ));
    }
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escaped(item))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// How often gains held, and how often they were measured again.
pub fn held<'a>(again: impl Iterator<Item = &'a f64>) -> (usize, usize) {
    again.fold((0, 0), |(held, all), gain| (held + usize::from(*gain > 0.0), all + 1))
}

fn held_of(entry: &Entry) -> String {
    let (held, all) = held(entry.again.iter());
    if all == 0 { String::new() } else { format!(" (this one {held} of {all})") }
}

/// Where the budget goes: by class of operation, and by line.
fn costs(entry: &Entry) -> String {
    let mut out = String::new();
    let meter = |share: f64| {
        let percent = facts::percent(share);
        Cell {
            figure: Some(share),
            ..Cell::html(format!("<meter max=\"1\" value=\"{share:.4}\">{percent}</meter> {percent}"))
        }
    };
    if !entry.shares.is_empty() {
        let rows = entry.shares.iter().map(|share| (String::new(), vec![Cell::text(&share.class), meter(share.share)]));
        out += &table("classes", "Where its budget goes", &["class of operation", "share"], rows);
    }
    if !entry.lines.is_empty() {
        let rows = entry.lines.iter().map(|line| {
            let number = Cell::figure(Some(f64::from(line.line)), |line| format!("{line:.0}"));
            (String::new(), vec![number, Cell::text(&line.function), meter(line.share)])
        });
        out += &table("lines", "Its dearest lines", &["line", "function", "share of a step"], rows);
    }
    if out.is_empty() { out } else { format!("<div class=\"columns\">{out}</div>\n") }
}

/// The loss curves of baseline and champion, and their held-out losses at the end.
fn curves(page: &Page, champion: &Entry) -> Option<Drawing> {
    let mut curves: Vec<(&Entry, Ink, &str)> = Vec::new();
    if let Some(seed) = page.entry(0).filter(|seed| seed.curve.len() > 1 && champion.number > 0) {
        curves.push((seed, Ink::Same, "baseline"));
    }
    if champion.curve.len() > 1 {
        curves.push((champion, Ink::Train, "champion"));
    }
    if curves.is_empty() {
        return None;
    }
    // The first points are far above the others.
    let settled =
        |entry: &Entry| entry.curve.iter().skip(entry.curve.len() / 4).map(|(_, loss)| *loss).collect::<Vec<_>>();
    let figures = curves.iter().flat_map(|(entry, _, _)| settled(entry).into_iter().chain(entry.held_out_nats));
    let plane = Plane::of([52.0, 560.0, 22.0, 220.0], figures)?;
    let Plane { left, right, bottom, .. } = plane;
    let mut drawing = Drawing::new(
        640.0,
        252.0,
        "Loss in training".into(),
        "Logged loss in nats per token over the training run; dots are the losses on held-out text".into(),
    );
    plane.grid(&mut drawing, 2);
    for (entry, ink, name) in curves {
        let last = entry.curve.last().map_or(1, |(step, _)| *step).max(1) as f64;
        let mut path = String::new();
        let shown = entry.curve.iter().skip_while(|(_, loss)| !plane.has(*loss));
        for (i, (step, loss)) in shown.enumerate() {
            let x = left + (right - left) * *step as f64 / last;
            let _ = write!(path, "{}{}", if i == 0 { "M" } else { "L" }, point(x, plane.y(*loss)));
        }
        drawing.path(ink, path);
        let end = entry.held_out_nats.or(entry.curve.last().map(|(_, loss)| *loss))?;
        if entry.held_out_nats.is_some() {
            drawing.add(ink, Shape::Circle { x: right, y: plane.y(end), radius: 4.5 });
        }
        drawing.text(Ink::Words, (right + 10.0, plane.y(end) + 4.5), Anchor::Start, name);
    }
    drawing.text(
        Ink::Words,
        (left, bottom + 22.0),
        Anchor::Start,
        "share of the run; dots: held-out text; the first, higher losses are left out",
    );
    drawing.text(Ink::Words, (4.0, 14.0), Anchor::Start, "nats per token");
    Some(drawing)
}

/// The champions from the seed guest to the last one, with what each changes of the one before.
pub fn path(page: &Page) -> String {
    if page.path.is_empty() {
        return String::new();
    }
    let steps: String = page.path.iter().filter_map(|step| Some(one_step(page.entry(step.number)?, step))).collect();
    format!("<ol class=\"path\">\n<li>{} the seed guest</li>\n{steps}</ol>\n", trial_link(0))
}

fn one_step(entry: &Entry, step: &Step) -> String {
    let figures = [
        entry.delta.map(|delta| format!("{} bits per byte", signed(delta))),
        entry.p_better.map(sureness),
        entry.pairs.map(|pairs| format!("{pairs} random seeds")),
        step.scores.confirm.map(|bpb| format!("confirm {bpb:.4}")),
        step.scores.test.map(|bpb| format!("test {bpb:.4}")),
        (!entry.again.is_empty()).then(|| {
            let (held, all) = held(entry.again.iter());
            format!("held again {held} of {all}")
        }),
        (entry.champion != entry.parent).then(|| format!("compared with #{}", entry.champion)),
    ];
    let figures: Vec<String> = figures.into_iter().flatten().collect();
    let diff = match &step.changes {
        None => "<p>One of the two sources is lost.</p>".into(),
        Some(changes) if changes.is_empty() => "<p>The same lines.</p>".into(),
        Some(changes) => {
            let open = if changes.len() <= SHORT { " open=\"\"" } else { "" };
            let from = if entry.parent == 0 { "the seed guest".into() } else { format!("#{}", entry.parent) };
            format!("<details{open}><summary>What it changes of {from}</summary>\n{}</details>", comparison(changes))
        }
    };
    format!(
        "<li>{} <strong>{}</strong><br/><span class=\"figures\">{}</span>\n{diff}</li>\n",
        trial_link(entry.number),
        escaped(&entry.change),
        escaped(&figures.join(" · "))
    )
}
