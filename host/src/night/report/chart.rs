//! Lays out the staircase: one night, or two side by side in one picture. Each trial is a mark, the champion's level a
//! line with a band of noise around it. Pure.

use crate::night::report::drawing::{Anchor, Drawing, Ink, Mark, Shape, point};
use crate::night::report::picture::{Dot, Picture, sureness};
use crate::night::report::scale::{Axis, Frame, Scale};
use crate::record::ending::Ending;
use crate::record::facts::{duration, signed};
use std::fmt::Write as _;

const LINE: f64 = 14.0;
/// More trials than this have smaller marks.
const MANY: usize = 200;
/// Typical width of a character.
const CHAR: f64 = 6.9;
/// Height of a row in the list of keeps.
const ROW: f64 = 23.0;
/// Most keeps in the list of a file, and most that are labelled beside their marks.
const LISTED: usize = 16;
const LABELLED: usize = 40;
/// Most characters of a change in the list.
const CHANGE_CHARS: usize = 72;

/// The inks of one night.
struct Inks {
    band: Ink,
    best: Ink,
    keep: Ink,
    noise: Ink,
    words: Ink,
}

const INKS: [Inks; 2] = [
    Inks { band: Ink::Band, best: Ink::Best, keep: Ink::Keep, noise: Ink::Noise, words: Ink::Better },
    Inks {
        band: Ink::OtherBand,
        best: Ink::OtherBest,
        keep: Ink::OtherKeep,
        noise: Ink::OtherNoise,
        words: Ink::OtherWords,
    },
];

/// The picture for a page, which has headings and tables around it.
pub fn on_page(nights: &[Picture], axis: Axis) -> Drawing {
    let about = nights.iter().map(facts).collect::<Vec<_>>().join("; ");
    let title = format!("Trials by {}", axis.name());
    let frame = Frame { width: 760.0, height: 400.0, left: 58.0, right: 746.0, top: 30.0, bottom: 306.0 };
    let mut drawing = Drawing::new(frame.width, frame.height, title, about);
    plot(&mut drawing, nights, axis, &frame);
    drawing
}

/// The picture as a file of its own, with a heading and the list of keeps.
pub fn alone(nights: &[Picture]) -> Drawing {
    let rows = match nights {
        [night] => keeps(night).count().min(LISTED + 1),
        _ => 0,
    };
    let list = if rows == 0 { 0.0 } else { (rows as f64 + 1.0) * ROW };
    let frame = Frame { width: 960.0, height: 520.0 + list, left: 76.0, right: 930.0, top: 116.0, bottom: 424.0 };
    let title = match nights {
        [night] => format!("Night {} of {}", night.night, night.policy),
        _ => "Nights side by side".into(),
    };
    let about = nights.iter().map(facts).collect::<Vec<_>>().join("; ");
    let mut drawing = Drawing::new(frame.width, frame.height, title.clone(), about.clone());
    drawing.path(Ink::Card, card(frame.width, frame.height));
    drawing.text(Ink::Title, (28.0, 42.0), Anchor::Start, title);
    drawing.text(Ink::Words, (28.0, 66.0), Anchor::Start, about);
    if let [night] = nights {
        gain(&mut drawing, night, frame.right);
    }
    let axis = if nights.iter().any(|night| night.seconds > 0.0) { Axis::Time } else { Axis::Trial };
    plot(&mut drawing, nights, axis, &frame);
    if let [night] = nights {
        list_keeps(&mut drawing, night, &frame);
    }
    drawing
}

/// A rectangle with round corners.
fn card(width: f64, height: f64) -> String {
    let (right, bottom) = (width - 0.5, height - 0.5);
    let (h, v) = (right - 20.5, bottom - 20.5);
    format!(
        "M10.5 0.5h{h:.1}a10 10 0 0 1 10 10v{v:.1}a10 10 0 0 1 -10 10h-{h:.1}a10 10 0 0 1 -10 -10v-{v:.1}a10 10 0 0 1 \
         10 -10z"
    )
}

/// What was done, in a line.
pub fn facts(night: &Picture) -> String {
    let count = |n: usize, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    format!(
        "{} s of training per experiment · {} · {} · {}",
        night.budget_s,
        count(night.trials.len(), "trial"),
        count(night.runs, "training run"),
        duration(night.seconds)
    )
}

fn keeps(night: &Picture) -> impl Iterator<Item = (&Dot, f64)> {
    let kept = night.trials.iter().filter(|dot| dot.ending == Ending::Keep);
    kept.filter_map(|dot| Some((dot, dot.level.filter(|level| level.is_finite())?)))
}

/// The gain of the night in the upper right corner.
fn gain(drawing: &mut Drawing, night: &Picture, right: f64) {
    let [search, sealed] = night.gains(1);
    let Some((scores, percent)) = search else { return };
    let sealed = sealed.map(|(_, percent)| format!(" · sealed test {percent}")).unwrap_or_default();
    drawing.text(Ink::Gain, (right, 42.0), Anchor::End, scores);
    drawing.text(Ink::Better, (right, 66.0), Anchor::End, format!("{percent} bits per byte{sealed}"));
}

fn plot(drawing: &mut Drawing, nights: &[Picture], axis: Axis, frame: &Frame) {
    let scale = Scale::of(nights, axis, *frame);
    drawing.text(Ink::Words, (frame.left - 48.0, frame.top - 18.0), Anchor::Start, "bits per byte, lower is better");
    axes(drawing, &scale);
    for (night, inks) in nights.iter().zip(&INKS) {
        best(drawing, night, inks, &scale);
    }
    if let [night] = nights {
        baseline(drawing, night, &scale);
    }
    for (night, inks) in nights.iter().zip(&INKS) {
        let size = if night.trials.len() > MANY { 0.6 } else { 1.0 };
        // Keeps come last, so that they lie on top.
        let (kept, others): (Vec<_>, Vec<_>) = night.trials.iter().partition(|dot| dot.ending == Ending::Keep);
        others.into_iter().chain(kept).for_each(|dot| drawing.marks.push(mark(dot, inks, &scale, size)));
        label_keeps(drawing, night, inks, &scale);
    }
    if nights.iter().all(|night| night.trials.is_empty()) {
        let middle = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
        drawing.text(Ink::Words, middle, Anchor::Middle, "no trials yet");
    }
    match nights {
        [_, _, ..] => legend_of_nights(drawing, nights, frame),
        _ => legend(drawing, frame),
    }
}

fn axes(drawing: &mut Drawing, scale: &Scale) {
    let Frame { left, right, .. } = scale.frame;
    for (level, words) in scale.levels() {
        let y = scale.y(level);
        drawing.path(Ink::Grid, format!("M{}H{right:.1}", point(left, y)));
        drawing.text(Ink::Words, (left - 8.0, y + 4.5), Anchor::End, words);
    }
    let base = scale.base();
    drawing.path(Ink::Base, format!("M{}H{right:.1}", point(left, base)));
    for (value, words) in scale.ticks() {
        let x = scale.x(value);
        drawing.path(Ink::Base, format!("M{}v5", point(x, base)));
        drawing.text(Ink::Words, (x, base + 22.0), Anchor::Middle, words);
    }
    let label = scale.axis.label();
    drawing.text(Ink::Words, (right, base + 40.0), Anchor::End, label);
}

fn baseline(drawing: &mut Drawing, night: &Picture, scale: &Scale) {
    let Some(level) = night.baseline else { return };
    let Frame { left, right, .. } = scale.frame;
    let y = scale.y(level.bpb);
    drawing.path(Ink::Baseline, format!("M{}H{right:.1}", point(left, y)));
    let words = format!("baseline {:.4}, noise ± {:.4}", level.bpb, level.noise);
    drawing.text(Ink::LevelWords, (right - 6.0, y - 6.0), Anchor::End, words);
}

/// Draws the champion's level as stairs, and the noise of a score around it.
fn best(drawing: &mut Drawing, night: &Picture, inks: &Inks, scale: &Scale) {
    let right = scale.frame.right;
    let mut steps: Vec<(f64, f64)> = night.start.map(|start| (scale.frame.left, start)).into_iter().collect();
    steps.extend(keeps(night).map(|(dot, level)| (scale.x(scale.axis.value(dot)), level)));
    let Some(((x, level), rest)) = steps.split_first() else { return };
    let stairs = |above: f64| {
        let mut path = format!("M{}", point(*x, scale.y(level + above)));
        for (x, level) in rest {
            let _ = write!(path, "H{x:.1}V{:.1}", scale.y(level + above));
        }
        path
    };
    if let Some(noise) = night.baseline.map(|level| level.noise).filter(|noise| *noise > 0.0) {
        let mut band = format!("{}H{right:.1}", stairs(noise));
        let mut until = right;
        for (x, level) in steps.iter().rev() {
            let _ = write!(band, "L{}H{x:.1}", point(until, scale.y(level - noise)));
            until = *x;
        }
        drawing.path(inks.band, format!("{band}z"));
    }
    drawing.path(inks.best, format!("{}H{right:.1}", stairs(0.0)));
}

/// Marks a trial at its level, or on the base line if it has none.
fn mark(dot: &Dot, inks: &Inks, scale: &Scale, size: f64) -> Mark {
    let x = scale.x(scale.axis.value(dot));
    let base = scale.base();
    let level = dot.level.filter(|level| level.is_finite());
    let (ink, shape) = match (dot.ending, level) {
        (Ending::Refused | Ending::Failed | Ending::HostFault, _) => (Ink::Fault, cross(x, base)),
        (Ending::Same, _) => (Ink::Same, dash(x, base)),
        // Only a damaged record has a verdict and no score.
        (_, None) => (Ink::Fault, cross(x, base)),
        (ending, Some(level)) => {
            let ink = match ending {
                Ending::Keep => inks.keep,
                Ending::Discard => Ink::Discard,
                _ => inks.noise,
            };
            let shape = match level > scale.high {
                true => Shape::Path(format!("M{}l5 9h-10z", point(x, scale.frame.top - 4.0))),
                false => circle(ending, x, scale.y(level), size),
            };
            (ink, shape)
        }
    };
    let figures = dot.delta.map_or(String::new(), |delta| format!(" {}", signed(delta)));
    let tip = format!("#{} {}{figures}: {}", dot.number, dot.ending.name(), dot.description);
    Mark { shape, ink, trial: Some(dot.number), tip }
}

fn circle(ending: Ending, x: f64, y: f64, size: f64) -> Shape {
    Shape::Circle { x, y, radius: if ending == Ending::Keep { 6.5 } else { 4.5 * size } }
}

fn cross(x: f64, y: f64) -> Shape {
    Shape::Path(format!("M{}l7 7m0 -7l-7 7", point(x - 3.5, y - 3.5)))
}

fn dash(x: f64, y: f64) -> Shape {
    Shape::Path(format!("M{}v8", point(x, y - 4.0)))
}

/// Writes the number of each keep beside its mark.
fn label_keeps(drawing: &mut Drawing, night: &Picture, inks: &Inks, scale: &Scale) {
    let mut last = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for (dot, level) in keeps(night).take(LABELLED) {
        let (x, y) = (scale.x(scale.axis.value(dot)) - 9.0, scale.y(level) + 17.0);
        let is_close = x - last.0 < 5.0 * CHAR && (y - last.1).abs() < LINE;
        last = (x, if is_close { last.1 + LINE } else { y });
        drawing.text(inks.words, last, Anchor::End, format!("#{}", dot.number));
    }
}

/// Lists the change of each keep with its gain and how sure it is.
fn list_keeps(drawing: &mut Drawing, night: &Picture, frame: &Frame) {
    let (left, right, top) = (frame.left, frame.right, 548.0);
    for (i, (dot, _)) in keeps(night).enumerate() {
        let y = top + i as f64 * ROW;
        if i == LISTED {
            let words = format!("and {} more", keeps(night).count() - LISTED);
            drawing.text(Ink::Words, (left, y), Anchor::Start, words);
            break;
        }
        drawing.text(Ink::Better, (left - 12.0, y), Anchor::End, format!("#{}", dot.number));
        let change = crate::system::sanitize::line(&dot.description, CHANGE_CHARS);
        drawing.text(Ink::Name, (left, y), Anchor::Start, change);
        let gain = dot.delta.map_or(String::new(), signed);
        drawing.text(Ink::Better, (right - 130.0, y), Anchor::End, gain);
        let sure = dot.p_better.map_or(String::new(), sureness);
        drawing.text(Ink::Words, (right, y), Anchor::End, sure);
    }
}

fn legend(drawing: &mut Drawing, frame: &Frame) {
    let drawn: Vec<Ink> = drawing.marks.iter().map(|mark| mark.ink).collect();
    let y = frame.bottom + 82.0;
    let mut x = frame.left + 6.0;
    for (ink, words) in [
        (Ink::Keep, "kept"),
        (Ink::Noise, "no gain proven"),
        (Ink::Discard, "worse"),
        (Ink::Fault, "failed or refused"),
        (Ink::Same, "tried before"),
        (Ink::Best, "champion"),
    ] {
        if ink != Ink::Best && !drawn.contains(&ink) {
            continue;
        }
        let shape = match ink {
            Ink::Keep => circle(Ending::Keep, x, y, 1.0),
            Ink::Noise | Ink::Discard => circle(Ending::Noise, x, y, 1.0),
            Ink::Fault => cross(x, y),
            Ink::Same => dash(x, y),
            _ => Shape::Path(format!("M{}h16", point(x - 6.0, y))),
        };
        drawing.add(ink, shape);
        let from = if ink == Ink::Best { x + 16.0 } else { x + 12.0 };
        drawing.text(Ink::Words, (from, y + 4.5), Anchor::Start, words);
        x += 40.0 + words.chars().count() as f64 * CHAR;
    }
}

fn legend_of_nights(drawing: &mut Drawing, nights: &[Picture], frame: &Frame) {
    let y = frame.bottom + 82.0;
    let mut x = frame.left + 6.0;
    for ((night, inks), side) in nights.iter().zip(&INKS).zip(["A", "B"]) {
        drawing.path(inks.best, format!("M{}h22", point(x - 6.0, y)));
        let words = format!("{side}: night {} of {}", night.night, night.policy);
        drawing.text(inks.words, (x + 24.0, y + 4.5), Anchor::Start, words.clone());
        x += 60.0 + words.chars().count().min(40) as f64 * CHAR;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::night::report::picture::{Level, Scores};
    use crate::night::report::svg;

    fn dot(number: u64, ending: Ending, level: Option<f64>, description: &str) -> Dot {
        Dot {
            number,
            at_s: 20.0 * number as f64,
            runs: number as usize,
            micro_dollars: 1_000 * number,
            ending,
            level,
            delta: level.map(|level| level - 2.7).filter(|delta| delta.is_finite()),
            p_better: level.map(|_| 0.97),
            description: description.into(),
        }
    }

    fn night(trials: Vec<Dot>) -> Picture {
        let baseline = Some(Level { bpb: 2.7, noise: 0.006 });
        Picture {
            night: 1,
            policy: "smoke".into(),
            budget_s: 6.0,
            baseline,
            start: Some(2.7),
            scores: [Some(2.7), Some(2.61)].map(|search| Scores { search, sealed: search.map(|bpb| bpb + 0.05) }),
            runs: 13,
            seconds: 20.0 * trials.len() as f64,
            micro_dollars: 1_000 * trials.len() as u64,
            trials,
        }
    }

    fn drawn(nights: &[Picture]) -> String {
        svg::file(&alone(nights))
    }

    fn circles(text: &str, class: &str) -> usize {
        let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let is_mark = |node: &roxmltree::Node| {
            node.has_tag_name(("http://www.w3.org/2000/svg", "circle")) && node.has_attribute("data-trial")
        };
        document.descendants().filter(|node| is_mark(node) && node.attribute("class") == Some(class)).count()
    }

    fn several() -> Picture {
        night(vec![
            dot(1, Ending::Noise, Some(2.701), "LR 0.1 → 0.2"),
            dot(2, Ending::Failed, None, "a panic"),
            dot(3, Ending::Keep, Some(2.6), "BATCH 18 → 9"),
            dot(4, Ending::Discard, Some(2.68), "worse"),
            dot(5, Ending::Discard, Some(9.0), "far away"),
            dot(6, Ending::Same, None, "again"),
            dot(7, Ending::Refused, Some(f64::NAN), "no Rust"),
        ])
    }

    #[test]
    fn every_trial_has_a_mark() {
        let text = drawn(&[several()]);
        assert_eq!(["keep", "noise", "discard"].map(|class| circles(&text, class)), [1, 1, 1]);
        for words in [
            ">BATCH 18 → 9<",
            ">−0.1000<",
            ">P(better) 0.970<",
            ">2.7000 → 2.6100<",
            ">−3.3 % bits per byte · sealed test −3.3 %<",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(text.contains("7 trials · 13 training runs · 2 min 20 s"), "{text}");
        assert_eq!(text.matches("<title>#").count(), 7);
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        for axis in Axis::ALL {
            let text = svg::part(&on_page(&[several()], axis), "plot");
            assert_eq!(text.matches("data-trial").count(), 7, "{text}");
        }
    }

    #[test]
    fn a_strangers_words_stay_text() {
        let hostile = "</text><script>alert(1)</script>]]>&amp;\"'\u{1b}[31m\u{202e}\u{0}\u{ffff}";
        let mut picture = night(vec![dot(1, Ending::Keep, Some(2.5), hostile)]);
        picture.policy = hostile.into();
        let text = drawn(&[picture]);
        assert_eq!(circles(&text, "keep"), 1);
        let document = roxmltree::Document::parse(&text).unwrap();
        let known = ["svg", "title", "desc", "style", "text", "path", "circle"];
        let mut elements = document.descendants().filter(|node| node.is_element());
        assert!(elements.all(|node| known.contains(&node.tag_name().name())));
        assert!(document.descendants().any(|node| node.text().is_some_and(|text| text.contains("<script>alert(1)"))));
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn nights_without_keeps_trials_or_a_baseline_are_drawn() {
        let without_keeps = [dot(1, Ending::Noise, Some(2.699), "a"), dot(2, Ending::Refused, None, "b")];
        let text = drawn(&[night(without_keeps.to_vec())]);
        assert_eq!((circles(&text, "keep"), circles(&text, "noise")), (0, 1));
        let text = drawn(&[night(Vec::new())]);
        assert!(text.contains("no trials yet") && circles(&text, "noise") == 0);
        let nothing =
            Picture { baseline: None, start: None, scores: [Scores::default(); 2], runs: 0, ..night(Vec::new()) };
        assert!(drawn(std::slice::from_ref(&nothing)).contains("0 training runs"));
        let without_baseline = Picture { trials: vec![dot(1, Ending::Keep, Some(2.5), "a")], ..nothing.clone() };
        assert_eq!(circles(&drawn(&[without_baseline]), "keep"), 1);
        assert!(drawn(&[nothing, several()]).contains("B: night 1 of smoke"));
    }
}
