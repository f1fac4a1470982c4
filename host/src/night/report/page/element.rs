//! Writes HTML. Text gets into it through [`escaped`] alone, whether it can be trusted or not. Pure.

use crate::night::report::page::edits::Line;
use crate::night::report::svg::xml;
use serde::Serialize;

/// A cell of a table: its HTML, and the figure that it is sorted by, if that is not its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    pub html: String,
    pub figure: Option<f64>,
    /// Whether it holds a figure, which is set to the right.
    pub is_figure: bool,
}

impl Cell {
    pub fn text(text: &str) -> Self {
        Self { html: escaped(text), ..Self::default() }
    }

    pub fn html(html: String) -> Self {
        Self { html, ..Self::default() }
    }

    /// A figure in words, sorted by its value. A dash if there is none, or if it is not finite.
    pub fn figure(figure: Option<f64>, words: impl Fn(f64) -> String) -> Self {
        let figure = figure.filter(|figure| figure.is_finite());
        let html = figure.map_or("–".into(), |figure| escaped(&words(figure)));
        Self { html, figure, is_figure: true }
    }
}

/// Text for the inside of elements and of quoted attributes.
pub fn escaped(text: &str) -> String {
    xml(text)
}

/// A table that scrolls by itself if it is too wide. `id` names it; each row is its attributes and its cells.
pub fn table(id: &str, caption: &str, heads: &[&str], rows: impl IntoIterator<Item = (String, Vec<Cell>)>) -> String {
    let heads: Vec<Head> = heads.iter().map(|head| (String::new(), escaped(head))).collect();
    table_of(id, caption, &heads, rows)
}

/// The head of a column: its attributes and its HTML.
pub type Head = (String, String);

/// As [`table`], with heads that are more than text.
pub fn table_of(
    id: &str,
    caption: &str,
    heads: &[Head],
    rows: impl IntoIterator<Item = (String, Vec<Cell>)>,
) -> String {
    let rows: Vec<(String, Vec<Cell>)> = rows.into_iter().collect();
    let class = |cell: Option<&Cell>| if cell.is_some_and(|cell| cell.is_figure) { " class=\"figure\"" } else { "" };
    let mut out = format!(
        "<div class=\"table\"><p class=\"caption\" id=\"{id}-caption\">{}</p>\n\
         <div class=\"wide\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}-caption\">\
         <table id=\"{id}\" aria-labelledby=\"{id}-caption\"><thead><tr>",
        escaped(caption)
    );
    for (i, (attributes, head)) in heads.iter().enumerate() {
        let class = class(rows.first().and_then(|(_, cells)| cells.get(i)));
        out += &format!("<th scope=\"col\"{class}{attributes}>{head}</th>");
    }
    out += "</tr></thead><tbody>\n";
    for (attributes, cells) in &rows {
        out += &format!("<tr{attributes}>");
        for (i, cell) in cells.iter().enumerate() {
            let figure = cell.figure.filter(|figure| figure.is_finite());
            let figure = figure.map_or(String::new(), |figure| format!(" data-figure=\"{figure}\""));
            let (begin, end) = if i == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
            out += &format!("<{begin}{}{figure}>{}</{end}>", class(Some(cell)), cell.html);
        }
        out += "</tr>\n";
    }
    out + "</tbody></table></div></div>\n"
}

/// Rows of a folded table that are shown at once.
pub const FOLDED_AFTER: usize = 20;

/// As [`table`], with the rows after the first [`FOLDED_AFTER`] in a part that opens when it is asked for.
pub fn folded_table(id: &str, caption: &str, heads: &[&str], mut rows: Vec<(String, Vec<Cell>)>) -> String {
    let rest = rows.split_off(rows.len().min(FOLDED_AFTER));
    let shown = table(id, caption, heads, rows);
    if rest.is_empty() {
        return shown;
    }
    let words = format!("{} more", rest.len());
    shown + &details(&words, &table(&format!("{id}-more"), caption, heads, rest))
}

/// A section with its heading.
pub fn section(id: &str, heading: &str, body: &str) -> String {
    let heading = escaped(heading);
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-heading\">\n\
         <h2 id=\"{id}-heading\">{heading}</h2>\n{body}</section>\n"
    )
}

/// A part that opens when it is asked for.
pub fn details(summary: &str, body: &str) -> String {
    format!("<details><summary>{}</summary>\n{body}</details>\n", escaped(summary))
}

/// A link to the row of a trial.
pub fn trial_link(number: u64) -> String {
    match number {
        0 => "<a href=\"#t0\" data-trial=\"0\">seed</a>".into(),
        number => format!("<a href=\"#t{number}\" data-trial=\"{number}\">#{number}</a>"),
    }
}

/// The lines of a comparison.
pub fn comparison(lines: &[Line]) -> String {
    let mut out = String::from("<pre class=\"diff\" tabindex=\"0\">");
    for Line { sign, text } in lines {
        let text = escaped(text);
        out += &match sign {
            '+' => format!("<ins>+ {text}</ins>\n"),
            '−' => format!("<del>− {text}</del>\n"),
            '…' => "<span>⋯</span>\n".into(),
            _ => format!("  {text}\n"),
        };
    }
    out + "</pre>\n"
}

/// Data for the script, inside an element that is never run. Nothing in it can end the element or begin a comment.
pub fn data(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    Ok(json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_its_element() {
        let hostile = "</script><!-- <script> & \u{2028}";
        let written = data(&hostile).unwrap();
        assert!(!written.contains(['<', '>', '&']), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), hostile);
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escaped("<b a=\"x\" b='y'>&"), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
        let made = comparison(&[Line { sign: '+', text: "</pre><script>".into() }]);
        assert!(!made.contains("<script"), "{made}");
    }
}
