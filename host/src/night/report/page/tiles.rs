//! What a served page shows first: a few figures of the night, and its latest trials. Both have the same height
//! whatever is in them, so that nothing below moves when they change. Pure.

use crate::night::report::page::content::{Entry, Page};
use crate::night::report::page::element::{escaped, trial_link};
use crate::record::ending::Ending;
use crate::record::facts::{duration, signed};
use crate::record::spend::dollars;

/// Trials that are listed as the latest.
const LATEST: usize = 7;

/// The figures of a night.
pub fn tiles(page: &Page) -> String {
    let picture = &page.picture;
    let bits = |level: Option<f64>| level.map_or("–".into(), |level| format!("{level:.4}"));
    let [began, last] = picture.scores;
    let [gain, sealed] = picture.gains(2).map(|gain| gain.map(|(_, percent)| percent));
    let noise = picture.baseline.map_or("–".into(), |level| format!("noise ± {:.4}", level.noise));
    let failed = page.count(Ending::is_failure);
    let mut tiles = vec![
        ("trials", picture.trials.len().to_string(), format!("{failed} without a score")),
        ("kept", page.count(|ending| ending == Ending::Keep).to_string(), format!("{} repeats", page.search.repeats)),
        ("bits per byte", bits(last.search), format!("began at {}", bits(began.search))),
        ("gain", gain.unwrap_or("–".into()), sealed.map_or(noise, |percent| format!("sealed test {percent}"))),
        ("training runs", picture.runs.to_string(), format!("{} s each", picture.budget_s)),
        ("time", duration(picture.seconds), "without pauses".into()),
    ];
    if picture.micro_dollars > 0 {
        tiles.push(("proposals cost", dollars(picture.micro_dollars), "so far".into()));
    }
    let tile = |(name, figure, more): &(&str, String, String)| {
        format!("<div><dt>{name}</dt><dd><b>{}</b> <span>{}</span></dd></div>", escaped(figure), escaped(more))
    };
    format!("<dl class=\"tiles\">{}</dl>\n", tiles.iter().map(tile).collect::<String>())
}

/// The latest trials, the last one first.
pub fn latest(page: &Page) -> String {
    let mut own: Vec<&Entry> = page.trials().collect();
    own.reverse();
    if own.is_empty() {
        return "<p class=\"note\">No trials yet. They appear here as they are decided.</p>\n".into();
    }
    let items = own.into_iter().take(LATEST).map(|entry| {
        let figures = [entry.delta.map(signed), entry.p_better.map(|p| format!("P {p:.3}"))];
        let figures: Vec<String> = figures.into_iter().flatten().chain([duration(entry.wall_s)]).collect();
        format!(
            "<li>{} <span class=\"verdict {1}\">{1}</span> <span class=\"figures\">{2}</span><p>{3}</p></li>\n",
            trial_link(entry.number),
            entry.ending.name(),
            escaped(&figures.join(" · ")),
            escaped(&entry.change)
        )
    });
    format!("<ol class=\"latest\" id=\"newest\">\n{}</ol>\n", items.collect::<String>())
}
