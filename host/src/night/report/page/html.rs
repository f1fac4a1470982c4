//! Puts a page together: head, sections, data, script. Pure.

use crate::night::report::chart;
use crate::night::report::page::content::Page;
use crate::night::report::page::element::{data, escaped, section};
use crate::night::report::page::view::View;
use crate::night::report::page::{champion, compare, lineage, policy, search, tiles, trials};
use crate::night::report::picture::Picture;
use crate::night::report::scale::Axis;
use crate::night::report::svg;
use crate::system::sanitize;
use serde::Serialize;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a server adds to a page, as markup and code of its own; nothing for a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served<'a> {
    /// Attributes of the body.
    pub body: &'a str,
    /// What stands above the heading.
    pub top: &'a str,
    pub style: &'a str,
    pub script: &'a str,
}

/// A section of a page: its name in addresses, its heading, and what is in it. An empty one is left out.
pub struct Section<'a> {
    pub id: &'a str,
    pub heading: &'a str,
    pub body: String,
}

/// The report of one night.
pub fn report(page: &Page) -> Result<String, serde_json::Error> {
    of_night(page, &View::WHOLE, &search::summary(page), &page.entries, &Served::default())
}

/// The page of a night as a server shows it: with what the reader has chosen, and without the details of its trials,
/// which [`details`](crate::night::report::page::details) has.
pub fn live(page: &Page, view: &View, served: &Served) -> Result<String, serde_json::Error> {
    let none: [(); 0] = [];
    of_night(page, view, &tiles::tiles(page), &none, served)
}

fn of_night(
    page: &Page,
    view: &View,
    summary: &str,
    entries: &impl Serialize,
    served: &Served,
) -> Result<String, serde_json::Error> {
    let picture = std::slice::from_ref(&page.picture);
    type Body<'a> = &'a dyn Fn() -> String;
    let all: [(&str, &str, Body); 8] = [
        ("staircase", "Trials", &|| staircase(picture, view.axis()) + &trials::kept(page) + &trials::state(page)),
        ("latest", "Latest", &|| if view.is_served() { tiles::latest(page) } else { String::new() }),
        ("champion", "Champion", &|| champion::section(page)),
        ("path", "Path to the best", &|| champion::path(page)),
        ("lineage", "Lineage", &|| lineage::section(page, view.branches())),
        ("search", "The search", &|| search::section(page)),
        ("trials", "All trials", &|| trials::section(page, view)),
        ("lost", "Not shown", &|| search::lost(page)),
    ];
    let wanted = all.iter().filter(|(id, ..)| view.part.is_empty() || view.part == *id);
    let sections: Vec<Section> = wanted.map(|(id, heading, body)| Section { id, heading, body: body() }).collect();
    let policy = sanitize::line(&page.picture.policy, 60);
    let title = format!("Night {} of {policy}", page.picture.night);
    whole(&title, summary, &sections, entries, served)
}

/// Two nights side by side.
pub fn compared(nights: &[Page; 2], served: &Served) -> Result<String, serde_json::Error> {
    let pictures = nights.each_ref().map(|page| page.picture.clone());
    let section = |id, heading, body| Section { id, heading, body };
    let sections = [
        section("staircase", "Trials", staircase(&pictures, None)),
        section("figures", "Figures", compare::figures(nights)),
        section("kept", "Kept", compare::kept(nights)),
        section("operators", "Operators", compare::operators(nights)),
    ];
    let none: [(); 0] = [];
    whole("Two nights side by side", &compare::names(nights), &sections, &none, served)
}

/// A page of its own: a heading, what stands under it, sections, and data for the script.
pub fn whole(
    title: &str,
    summary: &str,
    sections: &[Section],
    entries: &impl Serialize,
    served: &Served,
) -> Result<String, serde_json::Error> {
    let filled = || sections.iter().filter(|section| !section.body.is_empty());
    let links: String = filled()
        .map(|Section { id, heading, .. }| format!("<li><a href=\"#{id}\">{}</a></li>", escaped(heading)))
        .collect();
    let bodies: String = filled().map(|Section { id, heading, body }| section(id, heading, body)).collect();
    let style = format!("{STYLE}{}{}", svg::style(".drawing "), served.style);
    let script = format!("{SCRIPT}{}", served.script);
    Ok(fill(
        TEMPLATE,
        &[
            ("policy", &policy::policy(&style, &script, !served.script.is_empty())),
            ("title", &escaped(title)),
            ("style", &style),
            ("body", served.body),
            ("top", served.top),
            ("summary", summary),
            ("links", &links),
            ("sections", &bodies),
            ("data", &data(entries)?),
            ("script", &script),
        ],
    ))
}

/// Puts the values into the places `{{name}}` of a template. What stands in a value is not looked at.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        out += values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        out += rest;
    }
    out
}

/// The picture by each axis; the reader chooses which one is shown, without a script. With `only`, the others have room
/// and nothing in it.
fn staircase(nights: &[Picture], only: Option<Axis>) -> String {
    let axes: Vec<Axis> = Axis::ALL.into_iter().filter(|axis| axis.is_of(nights)).collect();
    let chosen = only.filter(|axis| axes.contains(axis)).unwrap_or(Axis::Trial);
    let mut out = String::from("<div class=\"axes\" role=\"radiogroup\" aria-label=\"Horizontal axis\">\n");
    for axis in &axes {
        let (name, checked) = (axis.name(), if *axis == chosen { " checked=\"\"" } else { "" });
        out += &format!(
            "<input type=\"radio\" name=\"axis\" id=\"by-{name}\"{checked}/><label for=\"by-{name}\">{name}</label>\n"
        );
    }
    for axis in axes {
        let name = axis.name();
        let is_drawn = only.is_none() || axis == chosen;
        let part = is_drawn.then(|| svg::part(&chart::on_page(nights, axis), &format!("plot-{name}")));
        out += &format!("<div class=\"wide plot {name}\">{}</div>\n", part.unwrap_or_default());
    }
    out + "</div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_looked_at() {
        assert_eq!(fill("<{{a}}|{{b}}>", &[("a", "{{b}}"), ("b", "x")]), "<{{b}}|x>");
        assert_eq!(fill("{{a}} {{c}}.", &[("a", "1")]), "1 .");
    }

    #[test]
    fn the_template_names_what_is_filled_in() {
        let names: Vec<&str> = TEMPLATE.split("{{").skip(1).filter_map(|part| part.split("}}").next()).collect();
        let wanted = "policy title style body top title summary links sections data script";
        assert_eq!(names, wanted.split(' ').collect::<Vec<_>>());
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
        let strangers = ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("];
        assert!(strangers.iter().all(|word| !SCRIPT.contains(word)), "text is set as text");
    }
}
