//! Draws a night as one self-contained SVG: no scripts, no external fonts or images. It follows the reader's light or
//! dark theme. Pure: equal pictures give equal bytes.

use crate::night::report::picture::{Dot, Picture};
use crate::record::ending::Ending;
use crate::system::sanitize;
use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 930.0;
const TOP: f64 = 116.0;
const BOTTOM: f64 = 424.0;
/// Vertical position of the base line, which holds the marks of trials without a score.
const BASE: f64 = 444.0;
const LEGEND: f64 = 494.0;
/// Vertical position of the first line in the list of keeps.
const LIST: f64 = 536.0;
const ROW: f64 = 23.0;
const LINE: f64 = 14.0;
const COLUMNS: usize = 2;
/// Maximum number of keeps in the list.
const LISTED: usize = 19;
/// Maximum length of a change in the list, in characters.
const CHANGE_CHARS: usize = 42;
/// Typical width of a character.
const CHAR: f64 = 6.9;
/// Wanted number of horizontal grid lines.
const GRID: f64 = 5.0;
/// Steps of the time axis, in seconds.
const STEPS: [f64; 14] =
    [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0];

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:13px;fill:#57606a}
.card{fill:#ffffff;stroke:#d8dee4}
.title{font-size:22px;font-weight:600;fill:#1f2328}
.gain{font-size:22px;font-weight:600;fill:#1a7f37}
.name{fill:#1f2328}
.better{fill:#1a7f37;font-weight:600}
.grid{stroke:#eaeef2}
.base{stroke:#afb8c1}
.band{fill:#0969da;fill-opacity:.12}
.baseline{stroke:#0969da;stroke-dasharray:5 4;fill:none}
.level{fill:#0969da}
.best{fill:none;stroke:#1a7f37;stroke-width:2.5;stroke-linejoin:round}
.keep{fill:#1a7f37;stroke:#ffffff;stroke-width:2}
.noise{fill:#ffffff;stroke:#8c959f;stroke-width:1.5}
.discard{fill:#8c959f}
.fault{stroke:#cf222e;stroke-width:1.5;fill:none}
.same{stroke:#8c959f;stroke-width:1.5}
@media (prefers-color-scheme:dark){
text{fill:#9198a1}
.card{fill:#0d1117;stroke:#3d444d}
.title,.name{fill:#f0f6fc}
.gain,.better{fill:#3fb950}
.grid{stroke:#21262d}
.base{stroke:#3d444d}
.band{fill:#4493f8;fill-opacity:.16}
.baseline{stroke:#4493f8}
.level{fill:#4493f8}
.best{stroke:#3fb950}
.keep{fill:#3fb950;stroke:#0d1117}
.noise{fill:#0d1117;stroke:#7d8590}
.discard{fill:#6e7681}
.fault{stroke:#f85149}
.same{stroke:#7d8590}
}
";

/// Returns the text of the SVG file.
pub fn draw(picture: &Picture) -> String {
    let height = height(picture);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"t d\">\n"
    );
    let title = format!("A night of {}", line(&picture.policy, 40));
    let facts = facts(picture);
    put(&mut out, format_args!("<title id=\"t\">{}</title>", xml(&title)));
    put(&mut out, format_args!("<desc id=\"d\">{}</desc>", xml(&facts)));
    put(&mut out, format_args!("<style>\n{STYLE}</style>"));
    let (width, height) = (WIDTH - 1.0, height - 1.0);
    put(
        &mut out,
        format_args!("<rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{width}\" height=\"{height}\" rx=\"10\"/>"),
    );
    text(&mut out, "title", (28.0, 42.0), "start", &title);
    text(&mut out, "", (28.0, 66.0), "start", &facts);
    text(&mut out, "", (28.0, TOP - 18.0), "start", "bits per byte, lower is better");
    let scale = Scale::of(picture);
    gain(&mut out, picture);
    axes(&mut out, &scale);
    baseline(&mut out, picture, &scale);
    best(&mut out, picture, &scale);
    picture.trials.iter().for_each(|dot| mark(&mut out, dot, &scale));
    kept(&mut out, picture, &scale);
    if picture.trials.is_empty() {
        text(&mut out, "", ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0), "middle", "no trials yet");
    }
    legend(&mut out);
    out.push_str("</svg>\n");
    out
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{line}");
}

fn text(out: &mut String, class: &str, (x, y): (f64, f64), anchor: &str, words: &str) {
    put(
        out,
        format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            xml(words)
        ),
    );
}

/// Makes untrusted text safe and puts it on one line.
fn line(text: &str, max_chars: usize) -> String {
    sanitize::line(text, max_chars)
}

/// Escapes text for XML.
fn xml(text: &str) -> String {
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
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn facts(picture: &Picture) -> String {
    let count = |n: usize, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    format!(
        "{} s of training per experiment · {} · {} · {}",
        picture.budget_s,
        count(picture.trials.len(), "trial"),
        count(picture.runs, "training run"),
        duration(picture.seconds)
    )
}

fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
    }
}

fn keeps(picture: &Picture) -> impl Iterator<Item = (&Dot, f64)> {
    let kept = picture.trials.iter().filter(|dot| dot.ending == Ending::Keep);
    kept.filter_map(|dot| Some((dot, dot.bpb.filter(|bpb| bpb.is_finite())?)))
}

/// Writes the gain from baseline to champion in the upper right corner.
fn gain(out: &mut String, picture: &Picture) {
    let (Some(baseline), Some((_, champion))) = (picture.baseline, keeps(picture).last()) else { return };
    let percent = (champion / baseline.bpb - 1.0) * 100.0;
    let sign = if percent < 0.0 { "−" } else { "+" };
    text(out, "gain", (RIGHT, 42.0), "end", &format!("{:.4} → {champion:.4}", baseline.bpb));
    text(out, "better", (RIGHT, 66.0), "end", &format!("{sign}{:.1} % bits per byte", percent.abs()));
}

/// Maps seconds and bits per byte to positions.
struct Scale {
    seconds: f64,
    low: f64,
    high: f64,
}

impl Scale {
    /// Covers all scores near the baseline and the best score. Much worse scores lie at the upper edge.
    fn of(picture: &Picture) -> Self {
        let scores = || picture.trials.iter().filter_map(|dot| dot.bpb).filter(|bpb| bpb.is_finite());
        let start = picture.baseline.map(|level| level.bpb).or_else(|| scores().next()).unwrap_or(1.0);
        let noise = picture.baseline.map_or(0.0, |level| level.noise);
        let lowest = scores().fold(start - 3.0 * noise, f64::min);
        let reach = (start - lowest).max(4.0 * noise).max(start.abs() * 1e-3);
        let highest = scores().fold(start + 3.0 * noise, f64::max).min(start + reach);
        let pad = (highest - lowest) * 0.08;
        let seconds = if picture.seconds > 0.0 { picture.seconds * 1.02 } else { 60.0 };
        Self { seconds, low: lowest - pad, high: highest + pad }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (seconds / self.seconds).clamp(0.0, 1.0)
    }

    fn y(&self, bpb: f64) -> f64 {
        TOP + (BOTTOM - TOP) * ((self.high - bpb) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

fn axes(out: &mut String, scale: &Scale) {
    let step = round_step((scale.high - scale.low) / GRID);
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    let first = (scale.low / step).ceil() as i64;
    let last = (scale.high / step).floor() as i64;
    for i in first..=last {
        let bpb = i as f64 * step;
        let y = scale.y(bpb);
        put(out, format_args!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>"));
        text(out, "", (LEFT - 10.0, y + 4.5), "end", &format!("{bpb:.decimals$}"));
    }
    put(out, format_args!("<path class=\"base\" d=\"M{LEFT} {BASE}H{RIGHT}\"/>"));
    let longest = STEPS[STEPS.len() - 1];
    let step = STEPS.into_iter().find(|step| scale.seconds / step <= 9.0);
    let step = step.unwrap_or_else(|| (scale.seconds / 9.0 / longest).ceil() * longest);
    for i in 0..=(scale.seconds / step).floor() as u64 {
        let seconds = i as f64 * step;
        let x = scale.x(seconds);
        put(out, format_args!("<path class=\"base\" d=\"M{x:.1} {BASE}v5\"/>"));
        text(out, "", (x, BASE + 22.0), "middle", &tick(seconds));
    }
}

/// The smallest number that is at least `least` and is 1, 2 or 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

fn tick(seconds: f64) -> String {
    let s = seconds as u64;
    match s {
        0 => "0".into(),
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s > 3600 => format!("{}:{:02} h", s / 3600, s % 3600 / 60),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s if s > 60 => format!("{}:{:02} min", s / 60, s % 60),
        s => format!("{s} s"),
    }
}

fn baseline(out: &mut String, picture: &Picture, scale: &Scale) {
    let Some(level) = picture.baseline else { return };
    let (top, bottom) = (scale.y(level.bpb + level.noise), scale.y(level.bpb - level.noise));
    let (y, width, height) = (scale.y(level.bpb), RIGHT - LEFT, bottom - top);
    put(
        out,
        format_args!("<rect class=\"band\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"),
    );
    put(out, format_args!("<path class=\"baseline\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>"));
    let words = format!("baseline {:.4} ± {:.4}", level.bpb, level.noise);
    text(out, "level", (RIGHT - 6.0, top - 6.0), "end", &words);
}

/// Draws the champion's score over time, as stairs.
fn best(out: &mut String, picture: &Picture, scale: &Scale) {
    let mut kept = keeps(picture).peekable();
    let from = match (picture.baseline, kept.peek()) {
        (Some(level), Some(_)) => (LEFT, level.bpb),
        (None, Some((dot, bpb))) => (scale.x(dot.at_s), *bpb),
        (_, None) => return,
    };
    let mut stairs = format!("M{:.1} {:.1}", from.0, scale.y(from.1));
    for (dot, bpb) in kept {
        let _ = write!(stairs, "H{:.1}V{:.1}", scale.x(dot.at_s), scale.y(bpb));
    }
    put(out, format_args!("<path class=\"best\" d=\"{stairs}H{RIGHT}\"/>"));
}

/// Marks a trial at its score, or on the base line if it has none.
fn mark(out: &mut String, dot: &Dot, scale: &Scale) {
    let x = scale.x(dot.at_s);
    let bpb = dot.bpb.filter(|bpb| bpb.is_finite());
    let words = format!("#{} {}: {}", dot.number, dot.ending.name(), line(&dot.description, 200));
    let shape = match (dot.ending, bpb) {
        (Ending::Refused | Ending::Failed | Ending::HostFault, _) => cross(x, BASE),
        (_, None) => format!("<path class=\"same\" d=\"M{x:.1} {:.1}v8\"", BASE - 4.0),
        (ending, Some(bpb)) if bpb > scale.high => {
            format!("<path class=\"{}\" d=\"M{x:.1} {:.1}l5 9h-10z\"", ending.name(), TOP - 4.0)
        }
        (ending, Some(bpb)) => circle(ending, x, scale.y(bpb)),
    };
    put(out, format_args!("{shape}><title>{}</title>{}", xml(&words), closing(&shape)));
}

fn closing(shape: &str) -> &'static str {
    if shape.starts_with("<circle") { "</circle>" } else { "</path>" }
}

fn circle(ending: Ending, x: f64, y: f64) -> String {
    let radius = if ending == Ending::Keep { 6.5 } else { 4.5 };
    format!("<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"", ending.name())
}

fn cross(x: f64, y: f64) -> String {
    format!("<path class=\"fault\" d=\"M{:.1} {:.1}l7 7m0 -7l-7 7\"", x - 3.5, y - 3.5)
}

/// Lists the change and the gain of each keep. The number stands beside its dot, the rest in two columns below.
fn kept(out: &mut String, picture: &Picture, scale: &Scale) {
    let mut last = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for (i, (dot, bpb)) in keeps(picture).enumerate() {
        let (x, y) = (scale.x(dot.at_s) - 9.0, scale.y(bpb) + 17.0);
        let close = x - last.0 < 5.0 * CHAR && (y - last.1).abs() < LINE;
        last = (x, if close { last.1 + LINE } else { y });
        text(out, "better", last, "end", &format!("#{}", dot.number));
        let (column, row) = ((i % COLUMNS) as f64, (i / COLUMNS) as f64);
        let (x, y) = (LEFT - 2.0 + column * (RIGHT - LEFT) / COLUMNS as f64, LIST + row * ROW);
        if i >= LISTED {
            text(out, "", (x, y), "start", &format!("and {} more", keeps(picture).count() - LISTED));
            break;
        }
        let gain = dot.delta.filter(|delta| delta.is_finite()).map(|delta| {
            let sign = if delta < 0.0 { "−" } else { "+" };
            format!("{sign}{:.4}", delta.abs())
        });
        put(
            out,
            format_args!(
                "<text class=\"name\" x=\"{x:.1}\" y=\"{y:.1}\"><tspan class=\"better\">#{}</tspan> {} \
                 <tspan class=\"better\">{}</tspan></text>",
                dot.number,
                xml(&line(&dot.description, CHANGE_CHARS)),
                gain.unwrap_or_default()
            ),
        );
    }
}

/// Height of the picture, with the rows for the list of keeps.
fn height(picture: &Picture) -> f64 {
    let rows = keeps(picture).count().min(LISTED + 1).div_ceil(COLUMNS);
    if rows == 0 { HEIGHT } else { LIST + (rows as f64 - 0.25) * ROW }
}

fn legend(out: &mut String) {
    let y = LEGEND;
    let entries = [
        (circle(Ending::Keep, 0.0, y), "kept"),
        (circle(Ending::Noise, 0.0, y), "no gain proven"),
        (circle(Ending::Discard, 0.0, y), "worse"),
        (cross(0.0, y), "failed or refused"),
        (format!("<path class=\"same\" d=\"M0 {:.1}v8\"", y - 4.0), "tried before"),
    ];
    let mut x = LEFT + 6.0;
    for (shape, words) in entries {
        put(out, format_args!("<g transform=\"translate({x:.1} 0)\">{shape}/></g>"));
        text(out, "", (x + 12.0, y + 4.5), "start", words);
        x += 44.0 + words.chars().count() as f64 * CHAR;
    }
    put(out, format_args!("<path class=\"best\" d=\"M{:.1} {y}h22\"/>", x - 6.0));
    text(out, "", (x + 22.0, y + 4.5), "start", "best so far");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::night::report::picture::Level;

    fn dot(number: u64, ending: Ending, bpb: Option<f64>, description: &str) -> Dot {
        let delta = bpb.map(|bpb| bpb - 2.7);
        Dot { number, at_s: 20.0 * number as f64, ending, bpb, delta, description: description.into() }
    }

    fn night(trials: Vec<Dot>) -> Picture {
        let seconds = 20.0 * trials.len() as f64;
        let baseline = Some(Level { bpb: 2.7, noise: 0.006 });
        Picture { night: 1, policy: "smoke".into(), budget_s: 6.0, baseline, trials, runs: 13, seconds }
    }

    fn circles(text: &str, class: &str) -> usize {
        let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let of_class = |node: &roxmltree::Node| {
            node.has_tag_name(("http://www.w3.org/2000/svg", "circle")) && node.attribute("class") == Some(class)
        };
        // One of them belongs to the legend.
        document.descendants().filter(of_class).count() - 1
    }

    #[test]
    fn every_trial_has_a_mark() {
        let drawn = draw(&night(vec![
            dot(1, Ending::Noise, Some(2.701), "LR 0.1 → 0.2"),
            dot(2, Ending::Failed, None, "a panic"),
            dot(3, Ending::Keep, Some(2.6), "BATCH 18 → 9"),
            dot(4, Ending::Discard, Some(2.68), "worse"),
            dot(5, Ending::Discard, Some(9.0), "far away"),
            dot(6, Ending::Same, None, "again"),
            dot(7, Ending::Refused, Some(f64::NAN), "no Rust"),
        ]));
        assert_eq!(["keep", "noise", "discard"].map(|class| circles(&drawn, class)), [1, 1, 1]);
        assert!(drawn.contains("#3</tspan> BATCH 18 → 9 <tspan class=\"better\">−0.1000</tspan>"), "{drawn}");
        assert!(drawn.contains("7 trials · 13 training runs · 2 min 20 s"), "{drawn}");
        assert!(drawn.contains("2.7000 → 2.6000"), "{drawn}");
        assert_eq!(drawn.matches("<title>#").count(), 7);
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }

    #[test]
    fn a_strangers_words_stay_text() {
        let hostile = "</text><script>alert(1)</script>]]>&amp;\"'\u{1b}[31m\u{202e}\u{0}\u{ffff}";
        let mut picture = night(vec![dot(1, Ending::Keep, Some(2.5), hostile)]);
        picture.policy = hostile.into();
        let drawn = draw(&picture);
        assert_eq!(circles(&drawn, "keep"), 1);
        let document = roxmltree::Document::parse(&drawn).unwrap();
        let known = ["svg", "title", "desc", "style", "rect", "text", "tspan", "path", "circle", "g"];
        assert!(
            document.descendants().filter(|node| node.is_element()).all(|node| known.contains(&node.tag_name().name()))
        );
        assert!(document.descendants().any(|node| node.text().is_some_and(|text| text.contains("<script>alert(1)"))));
        assert!(!drawn.contains('\u{1b}') && !drawn.contains('\u{202e}'), "{drawn}");
    }

    #[test]
    fn nights_without_keeps_trials_or_a_baseline_are_drawn() {
        let without_keeps =
            draw(&night(vec![dot(1, Ending::Noise, Some(2.699), "a"), dot(2, Ending::Refused, None, "b")]));
        assert_eq!((circles(&without_keeps, "keep"), circles(&without_keeps, "noise")), (0, 1));
        let without_trials = draw(&night(Vec::new()));
        assert!(without_trials.contains("no trials yet") && circles(&without_trials, "noise") == 0);
        let nothing = Picture { baseline: None, runs: 0, ..night(Vec::new()) };
        assert!(draw(&nothing).contains("0 training runs"));
        let without_baseline = Picture { baseline: None, ..night(vec![dot(1, Ending::Keep, Some(2.5), "a")]) };
        assert_eq!(circles(&draw(&without_baseline), "keep"), 1);
    }

    #[test]
    fn steps_are_round() {
        assert_eq!([0.013, 0.02, 0.3].map(round_step), [0.02, 0.02, 0.5]);
        assert_eq!([0.0, 30.0, 90.0, 600.0, 5400.0].map(tick), ["0", "30 s", "1:30 min", "10 min", "1:30 h"]);
    }
}
