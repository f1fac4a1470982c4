//! Which constants and switches moved the score, with what is not sure about it. Pure.

use crate::night::report::drawing::{Drawing, Ink, Shape, point};
use crate::night::report::page::element::{Cell, FOLDED_AFTER, escaped, folded_table};
use crate::night::report::svg;
use crate::propose::evolve::known::{Importance, Moved};
use crate::record::facts::signed;

/// Standard deviations on both sides of the mean between which a normal figure lies with 90%.
const WIDTH_90: f64 = 1.644_854;
/// Effects that are this many times as large as the middle one are beyond the edge.
const FAR: f64 = 4.0;
/// Size of a bar.
const WIDTH: f64 = 160.0;
const HEIGHT: f64 = 18.0;

pub fn section(found: &Importance) -> String {
    let heading = "<h3>What moved the score</h3>\n";
    if found.moved.is_empty() {
        let why = match found.left_out {
            0 => "No constant or switch was moved in a trial that was measured.",
            _ => "Without a score of the baseline, nothing can be told apart.",
        };
        return format!("{heading}<p class=\"note\">{}</p>\n", escaped(why));
    }
    let left_out = match found.left_out {
        0 => String::new(),
        count => format!(" {count} older trials are left out, since there are too many changes."),
    };
    let words = format!(
        "What the model of the search believes: a Bayesian linear regression takes the gain of each of {} measured \
         trials as the sum of the effects of its changes, of what chance did to the champion, and of noise. An effect is \
         in bits per byte, and with 90% lies in the interval: mean ± 1.645 standard deviations. Of a constant, it is that \
         of the way from its last value to the lowest or the highest one that was tried, whichever is surer. Effects \
         are taken to add up; where changes act on each other, less is sure. \
         Ablations, and trials whose text others changed too, are not among them.{left_out}",
        found.trials
    );
    let reach = reach(&found.moved);
    let rows = found.moved.iter().enumerate().map(|(at, one)| {
        let half = half(one);
        let interval = format!("{} … {}", signed(one.delta - half), signed(one.delta + half));
        let bar = svg::part(&bar(one, reach), &format!("moved-{at}"));
        let cells = vec![
            Cell::text(&one.change),
            Cell::figure(Some(short(one.delta)), signed),
            Cell::figure(Some(short(one.delta - half)), |_| interval.clone()),
            Cell { figure: Some(short(one.delta)), ..Cell::html(bar) },
            Cell::figure(Some(one.trials as f64), |count| format!("{count:.0}")),
            Cell::figure(Some(short(one.sureness())), |sureness| format!("{sureness:.1}")),
        ];
        (String::new(), cells)
    });
    let caption = "Effects of constants and switches, the surest first. Negative is better; sureness is the effect in \
                   standard deviations. A triangle stands for an effect beyond the edge.";
    let heads = ["change", "effect", "90% interval", "drawn", "trials", "sureness"];
    format!(
        "{heading}<p class=\"note\">{}</p>\n{}",
        escaped(&words),
        folded_table("moved", caption, &heads, rows.collect())
    )
}

/// As many digits as sorting needs.
fn short(figure: f64) -> f64 {
    (figure * 1e6).round() / 1e6
}

fn half(one: &Moved) -> f64 {
    WIDTH_90 * one.error
}

/// The effect that is at the edge of a bar: the largest, but not much more than most have.
fn reach(moved: &[Moved]) -> f64 {
    let mut extents: Vec<f64> = moved.iter().take(FOLDED_AFTER).map(|one| one.delta.abs() + half(one)).collect();
    extents.sort_by(f64::total_cmp);
    let middle = extents.get(extents.len() / 2).copied().unwrap_or(1.0);
    extents.last().copied().unwrap_or(1.0).min(FAR * middle).max(1e-9)
}

/// The interval as a line, the effect as a dot, and no effect as a line across.
fn bar(one: &Moved, reach: f64) -> Drawing {
    let x = |effect: f64| WIDTH / 2.0 + (WIDTH / 2.0 - 6.0) * (effect / reach).clamp(-1.0, 1.0);
    let (low, high) = (one.delta - half(one), one.delta + half(one));
    let about = format!("{} bits per byte, between {} and {}", signed(one.delta), signed(low), signed(high));
    let mut drawing = Drawing::new(WIDTH, HEIGHT, one.change.clone(), about);
    let middle = HEIGHT / 2.0;
    drawing.path(Ink::Base, format!("M{}v{HEIGHT}", point(x(0.0), 0.0)));
    let (line, dot) = match (high < 0.0, low > 0.0) {
        (true, _) => (Ink::Best, Ink::Keep),
        (_, true) => (Ink::Fault, Ink::Fault),
        _ => (Ink::Same, Ink::Noise),
    };
    drawing.path(line, format!("M{}H{:.1}", point(x(low), middle), x(high)));
    if one.delta.abs() > reach {
        let ink = if dot == Ink::Keep { Ink::Better } else { dot };
        drawing.path(ink, format!("M{}v12l{} -6z", point(x(one.delta), middle - 6.0), 6.0 * one.delta.signum()));
    } else {
        drawing.add(dot, Shape::Circle { x: x(one.delta), y: middle, radius: 4.5 });
    }
    drawing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(change: &str, delta: f64, error: f64) -> Moved {
        Moved { change: change.into(), trials: 3, delta, error }
    }

    #[test]
    fn without_a_change_it_says_so() {
        let html = section(&Importance::default());
        assert!(html.contains("No constant or switch was moved") && !html.contains("<table"), "{html}");
        let html = section(&Importance { left_out: 3, ..Importance::default() });
        assert!(html.contains("Without a score of the baseline"), "{html}");
    }

    #[test]
    fn an_effect_has_its_interval_and_a_bar_of_its_colour() {
        let moved = vec![one("LR 1 → 2", -0.02, 0.001), one("x", 0.02, 0.002), one("y", 0.001, 0.002)];
        let html = section(&Importance { moved, trials: 9, left_out: 0 });
        assert!(html.contains("−0.0200</td>") && html.contains("−0.0216 … −0.0184</td>"), "{html}");
        for ink in ["class=\"keep\"", "class=\"fault\"", "class=\"noise\""] {
            assert_eq!(html.matches(&format!("<circle {ink}")).count(), 1, "{ink}: {html}");
        }
    }

    #[test]
    fn one_large_effect_does_not_hide_the_others() {
        let mut moved: Vec<Moved> = (0..5).map(|_| one("small", -0.01, 0.001)).collect();
        moved.push(one("large", -0.5, 0.01));
        let html = section(&Importance { moved, trials: 9, left_out: 0 });
        assert_eq!(html.matches("<circle class=\"keep\"").count(), 5, "{html}");
        assert!(html.contains("M6.0 3.0v12l-6 -6z"), "{html}");
        assert!(html.contains("cx=\"64.1\""), "{html}");
    }

    #[test]
    fn many_are_folded_and_words_and_figures_stay_harmless() {
        let odd = one("</td><script>\u{1b}", 1e300, 1e300);
        let moved = (0..50).map(|_| odd.clone()).collect();
        let html = section(&Importance { moved, trials: 9, left_out: 4 });
        assert!(html.contains("<summary>30 more</summary>") && html.contains("4 older trials are left out"));
        assert!(!html.contains("<script") && !html.contains("NaN") && !html.contains("inf"), "{html}");
    }
}
