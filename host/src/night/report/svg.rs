//! Writes a drawing as SVG: as a file of its own, which follows the reader's light or dark theme, or as a part of a
//! page. No scripts, no external fonts or images. Pure: equal drawings give equal bytes.

use crate::night::report::drawing::{Anchor, Colour, Drawing, Ink, Mark, Shape};
use crate::system::sanitize;
use std::fmt::Write as _;

const FONT: &str = "system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
/// Most characters of a tip or a text.
const MOST_CHARS: usize = 200;

/// The rules by which a style sheet paints drawings inside `within`.
pub fn style(within: &str) -> String {
    let (mut rules, mut dark) = (format!("{within}text{{font-family:{FONT}}}\n"), String::new());
    for ink in Ink::ALL {
        let (paint, class) = (ink.paint(), ink.class());
        let hex = |colour: u32| format!("#{colour:06x}");
        let fill = |side: fn(Colour) -> u32| paint.fill.map_or("none".into(), |colour| hex(side(colour)));
        let mut rule = format!("fill:{}", fill(|colour| colour.light));
        let mut at_night = format!("fill:{}", fill(|colour| colour.dark));
        if paint.fill_opacity > 0.0 {
            let _ = write!(rule, ";fill-opacity:{}", paint.fill_opacity);
        }
        if let Some(Colour { light, dark }) = paint.stroke {
            let _ = write!(rule, ";stroke:{};stroke-width:{};stroke-linejoin:round", hex(light), paint.stroke_width);
            let _ = write!(at_night, ";stroke:{}", hex(dark));
        }
        if let Some([dash, gap]) = paint.dash {
            let _ = write!(rule, ";stroke-dasharray:{dash} {gap}");
        }
        if paint.letters > 0.0 {
            let _ = write!(rule, ";font-size:{}px", paint.letters);
        }
        if paint.is_bold {
            rule.push_str(";font-weight:600");
        }
        let _ = writeln!(rules, "{within}.{class}{{{rule}}}");
        let _ = writeln!(dark, "{within}.{class}{{{at_night}}}");
    }
    format!("{rules}@media (prefers-color-scheme:dark){{\n{dark}}}\n")
}

/// The text of a file.
pub fn file(drawing: &Drawing) -> String {
    let Drawing { width, height, .. } = drawing;
    let style = style("");
    let size = format!("width=\"{width}\" height=\"{height}\"");
    element(
        drawing,
        "t",
        &format!("xmlns=\"http://www.w3.org/2000/svg\" {size}"),
        &format!("<style>\n{style}</style>\n"),
    )
}

/// The element of a page. `id` begins the names of its parts and is unique in the page. The page has the style.
pub fn part(drawing: &Drawing, id: &str) -> String {
    element(drawing, id, "class=\"drawing\"", "")
}

fn element(drawing: &Drawing, id: &str, attributes: &str, style: &str) -> String {
    let Drawing { width, height, title, about, marks } = drawing;
    let mut out = format!(
        "<svg {attributes} viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-about\">\n\
         <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-about\">{}</desc>\n{style}",
        escaped(title),
        escaped(about)
    );
    for mark in marks {
        draw(&mut out, mark);
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, mark: &Mark) {
    let Mark { shape, ink, trial, tip } = mark;
    let class = ink.class();
    let trial = trial.map_or(String::new(), |number| format!(" data-trial=\"{number}\""));
    let end = |name: &str| match tip.is_empty() {
        true => "/>".to_string(),
        false => format!("><title>{}</title></{name}>", escaped(tip)),
    };
    // Writing to a String does not fail.
    let _ = match shape {
        Shape::Path(path) => writeln!(out, "<path class=\"{class}\"{trial} d=\"{path}\"{}", end("path")),
        Shape::Circle { x, y, radius } => {
            let end = end("circle");
            writeln!(out, "<circle class=\"{class}\"{trial} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"{end}")
        }
        Shape::Text { x, y, anchor, words } => {
            let anchor = match anchor {
                Anchor::Start => String::new(),
                other => format!(" text-anchor=\"{}\"", other.name()),
            };
            writeln!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{}</text>", escaped(words))
        }
    };
}

/// Makes untrusted text harmless, puts it on one line, and escapes it for XML and HTML.
fn escaped(text: &str) -> String {
    xml(&sanitize::line(text, MOST_CHARS))
}

/// Escapes text for XML and HTML, inside elements and inside quoted attributes.
pub fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML cannot represent these.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
