//! Puts a page together: head, sections, data, script. Pure.

use crate::night::report::chart;
use crate::night::report::page::content::Page;
use crate::night::report::page::element::{data, escaped, section};
use crate::night::report::page::{champion, compare, lineage, policy, search, trials};
use crate::night::report::picture::Picture;
use crate::night::report::scale::Axis;
use crate::night::report::svg;
use crate::system::sanitize;
use serde::Serialize;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The report of one night.
pub fn report(page: &Page) -> Result<String, serde_json::Error> {
    let sections = [
        ("staircase", "Trials", staircase(std::slice::from_ref(&page.picture)) + &trials::state(page)),
        ("champion", "Champion", champion::section(page)),
        ("path", "Path to the best", champion::path(page)),
        ("lineage", "Lineage", lineage::section(page)),
        ("search", "The search", search::section(page)),
        ("trials", "All trials", trials::section(page)),
        ("lost", "Not shown", search::lost(page)),
    ];
    let policy = sanitize::line(&page.picture.policy, 60);
    let title = format!("Night {} of {policy}", page.picture.night);
    whole(&title, &search::summary(page), &sections, &page.entries)
}

/// Two nights side by side.
pub fn compared(nights: &[Page; 2]) -> Result<String, serde_json::Error> {
    let pictures = nights.each_ref().map(|page| page.picture.clone());
    let sections = [
        ("staircase", "Trials", staircase(&pictures)),
        ("figures", "Figures", compare::figures(nights)),
        ("kept", "Kept", compare::kept(nights)),
        ("operators", "Operators", compare::operators(nights)),
    ];
    let none: [(); 0] = [];
    whole("Two nights side by side", &compare::names(nights), &sections, &none)
}

fn whole(
    title: &str,
    summary: &str,
    sections: &[(&str, &str, String)],
    entries: &impl Serialize,
) -> Result<String, serde_json::Error> {
    let filled = || sections.iter().filter(|(_, _, body)| !body.is_empty());
    let links: String =
        filled().map(|(id, heading, _)| format!("<li><a href=\"#{id}\">{}</a></li>", escaped(heading))).collect();
    let bodies: String = filled().map(|(id, heading, body)| section(id, heading, body)).collect();
    let style = format!("{STYLE}{}", svg::style(".drawing "));
    Ok(fill(
        TEMPLATE,
        &[
            ("policy", &policy::policy(&style, SCRIPT)),
            ("title", &escaped(title)),
            ("style", &style),
            ("summary", summary),
            ("links", &links),
            ("sections", &bodies),
            ("data", &data(entries)?),
            ("script", SCRIPT),
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

/// The picture by each axis; the reader chooses which one is shown, without a script.
fn staircase(nights: &[Picture]) -> String {
    let axes: Vec<Axis> = Axis::ALL.into_iter().filter(|axis| axis.is_of(nights)).collect();
    let mut out = String::from("<div class=\"axes\" role=\"radiogroup\" aria-label=\"Horizontal axis\">\n");
    for (i, axis) in axes.iter().enumerate() {
        let (name, checked) = (axis.name(), if i == 0 { " checked=\"\"" } else { "" });
        out += &format!(
            "<input type=\"radio\" name=\"axis\" id=\"by-{name}\"{checked}/><label for=\"by-{name}\">{name}</label>\n"
        );
    }
    for axis in axes {
        let (name, drawing) = (axis.name(), chart::on_page(nights, axis));
        let part = svg::part(&drawing, &format!("plot-{name}"));
        out += &format!("<div class=\"wide plot {name}\">{part}</div>\n");
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
        assert_eq!(names, ["policy", "title", "style", "title", "summary", "links", "sections", "data", "script"]);
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
        let strangers = ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("];
        assert!(strangers.iter().all(|word| !SCRIPT.contains(word)), "text is set as text");
    }
}
