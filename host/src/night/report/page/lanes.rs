//! Each training run of a night as a bar on a time axis, in as many lanes as ran at the same time. Long pauses are left
//! out, long nights have several rows, and what is too short to be seen stands together. Pure.

use crate::night::report::drawing::{Anchor, Drawing, Ink, Mark, Shape, point};
use crate::night::report::page::clock::Span;
use crate::night::report::page::content::{Entry, Page};
use crate::night::report::page::element::escaped;
use crate::night::report::scale::{time_step, time_tick};
use crate::night::report::svg;
use crate::record::ending::Ending;
use crate::record::facts::duration;
use std::collections::BTreeMap;

/// Most lanes, rows, and bars of a drawing.
const MOST_LANES: usize = 16;
const MOST_ROWS: usize = 12;
const MOST_BARS: usize = 1_500;
/// Runs of a lane for which one row is enough.
const RUNS_OF_ROW: usize = 40;
/// A longer time without a run is left out, in seconds.
const PAUSE_S: f64 = 900.0;
/// Bars that are narrower stand together with their neighbours.
const NARROW: f64 = 3.0;
/// Edges of the drawing.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 746.0;
const TOP: f64 = 8.0;
/// Room for the words of a pause, between two rows, for ticks, and for the legend.
const PAUSE_WORDS: f64 = 20.0;
const BETWEEN: f64 = 10.0;
const TICKS: f64 = 26.0;
const LEGEND: f64 = 30.0;
/// Typical width of a character.
const CHAR: f64 = 6.9;

/// A part of the time of a night, as long as the others.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    begin_s: f64,
    /// Seconds without a run before it that are left out.
    pause_s: Option<f64>,
}

/// One run, or several that are too short to be told apart.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    row: usize,
    lane: usize,
    left: f64,
    right: f64,
    ink: Ink,
    runs: usize,
    /// The first and the last trial, and the one that a click opens.
    trials: (u64, u64),
    opens: u64,
    seconds: f64,
}

/// Where everything stands.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    rows: Vec<Row>,
    /// Seconds of a row.
    step_s: f64,
    lanes: usize,
    bars: Vec<Bar>,
    /// Runs that have no lane.
    dropped: usize,
}

/// The runs, and what the picture leaves out.
pub fn section(page: &Page) -> String {
    let clock = &page.clock;
    let Some(plan) = Plan::of(&clock.spans) else { return String::new() };
    let mut notes = vec![format!(
        "Each bar is a training run, in as many lanes as ran at the same time; a row is {}. Runs that were made together \
         are recorded together, so one that ended before the others seems to have run later.",
        time_tick(plan.step_s)
    )];
    let together: usize = plan.bars.iter().filter(|bar| bar.runs > 1).map(|bar| bar.runs).sum();
    if together > 0 {
        notes.push(format!("{together} runs are too short to be told apart and share bars."));
    }
    if plan.dropped > 0 {
        notes.push(format!("{} runs beyond {MOST_LANES} at the same time are not drawn.", plan.dropped));
    }
    if clock.earlier > 0 {
        notes.push(format!("{} runs that trials rest on were made before this night.", clock.earlier));
    }
    format!(
        "<h3>When runs ran</h3>\n<p class=\"note\">{}</p>\n<div class=\"wide lanes\">{}</div>\n",
        escaped(&notes.join(" ")),
        svg::part(&draw(page, &plan), "lanes")
    )
}

impl Plan {
    fn of(spans: &[Span]) -> Option<Self> {
        let mut spans: Vec<Span> = spans.to_vec();
        spans.sort_by(|a, b| a.begin_s.total_cmp(&b.begin_s).then(a.end_s.total_cmp(&b.end_s)));
        let in_lanes = lanes(&spans);
        let lanes = in_lanes.last()?.0 + 1;
        let dropped = spans.len() - in_lanes.len();
        let wanted = (spans.len() / lanes / RUNS_OF_ROW).clamp(1, MOST_ROWS);
        let (pieces, step_s) = cut(&spans, wanted);
        let mut rows = Vec::new();
        let mut last_s = 0.0;
        for piece in &pieces {
            for i in 0..rows_of(piece, step_s) as usize {
                let pause_s = (i == 0 && piece.0 - last_s > PAUSE_S).then_some(piece.0 - last_s);
                rows.push(Row { begin_s: piece.0 + i as f64 * step_s, pause_s });
            }
            last_s = piece.1;
        }
        let mut narrow = NARROW;
        let mut bars = bars(&in_lanes, (&rows, step_s), narrow);
        while bars.len() > MOST_BARS && narrow < WIDTH {
            narrow *= 2.0;
            bars = self::bars(&in_lanes, (&rows, step_s), narrow);
        }
        Some(Self { rows, step_s, lanes, bars, dropped })
    }
}

/// The times in which something ran, and the length of a row, so that about `wanted` rows show them. A pause that is
/// shorter than a row is not left out. `spans` are in the order of their begins.
fn cut(spans: &[Span], wanted: usize) -> (Vec<(f64, f64)>, f64) {
    let mut pause_s = PAUSE_S;
    loop {
        let pieces = pieces(spans, pause_s);
        if pieces.len() > MOST_ROWS {
            pause_s *= 2.0;
            continue;
        }
        let wanted = wanted.max(pieces.len()) as f64;
        let all: f64 = pieces.iter().map(|(begin, end)| end - begin).sum();
        let mut step_s = time_step(all / wanted);
        while pieces.iter().map(|piece| rows_of(piece, step_s)).sum::<f64>() > wanted {
            step_s = time_step(step_s * 1.2);
        }
        if step_s <= pause_s || pieces.len() == 1 {
            return (pieces, step_s);
        }
        pause_s = step_s;
    }
}

/// The times in which something ran, without pauses that are longer.
fn pieces(spans: &[Span], pause_s: f64) -> Vec<(f64, f64)> {
    let mut pieces: Vec<(f64, f64)> = Vec::new();
    for span in spans {
        match pieces.last_mut() {
            Some((_, end)) if span.begin_s - *end <= pause_s => *end = end.max(span.end_s),
            _ => pieces.push((span.begin_s, span.end_s)),
        }
    }
    pieces
}

/// Rows that a piece needs.
fn rows_of((begin, end): &(f64, f64), step_s: f64) -> f64 {
    ((end - begin) / step_s).ceil().max(1.0)
}

/// The lane of each run that has one, lane by lane. `spans` are in the order of their begins.
fn lanes(spans: &[Span]) -> Vec<(usize, Span)> {
    let mut free_from: Vec<f64> = Vec::new();
    let mut found = Vec::new();
    for span in spans {
        let lane = free_from.iter().position(|end| *end <= span.begin_s).unwrap_or(free_from.len());
        match free_from.get_mut(lane) {
            Some(end) => *end = span.end_s,
            None if lane < MOST_LANES => free_from.push(span.end_s),
            None => continue,
        }
        found.push((lane, *span));
    }
    found.sort_by_key(|(lane, _)| *lane);
    found
}

fn bars(spans: &[(usize, Span)], (rows, step_s): (&[Row], f64), narrow: f64) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    for (lane, span) in spans {
        let first = rows.partition_point(|row| row.begin_s <= span.begin_s).saturating_sub(1);
        for (at, row) in rows.iter().enumerate().skip(first) {
            if at > first && row.begin_s >= span.end_s {
                break;
            }
            let x = |at_s: f64| LEFT + (RIGHT - LEFT) * ((at_s - row.begin_s) / step_s).clamp(0.0, 1.0);
            let bar = Bar {
                row: at,
                lane: *lane,
                left: x(span.begin_s),
                right: x(span.end_s),
                ink: ink(span.ending),
                runs: 1,
                trials: (span.trial, span.trial),
                opens: span.trial,
                seconds: span.end_s - span.begin_s,
            };
            match bars.last_mut() {
                Some(last) if last.takes(&bar, narrow) => last.take(&bar),
                _ => bars.push(bar),
            }
        }
    }
    bars
}

impl Bar {
    /// Whether both are narrow and stand in the same narrow piece of a row.
    fn takes(&self, next: &Self, narrow: f64) -> bool {
        let slot = |bar: &Self| (bar.row, bar.lane, (bar.left / narrow) as u64);
        let is_narrow = |bar: &Self| bar.right - bar.left < narrow;
        is_narrow(next) && (is_narrow(self) || self.runs > 1) && slot(self) == slot(next)
    }

    /// A keep is not hidden by others.
    fn take(&mut self, next: &Self) {
        if self.ink != Ink::Better && (next.ink == Ink::Better || self.ink == Ink::Train) {
            (self.ink, self.opens) = (next.ink, next.opens);
        }
        self.right = self.right.max(next.right);
        self.runs += next.runs;
        self.seconds += next.seconds;
        self.trials = (self.trials.0.min(next.trials.0), self.trials.1.max(next.trials.1));
    }

    fn tip(&self, entries: &BTreeMap<u64, &Entry>) -> String {
        let took = duration(self.seconds);
        match (self.runs, self.trials, entries.get(&self.opens)) {
            (1, (0, _), _) => format!("baseline, {took}"),
            (1, (number, _), _) if self.ink == Ink::Train => format!("what #{number} was compared with, {took}"),
            (1, (number, _), Some(entry)) => format!("#{number} {}, {took}: {}", entry.ending.name(), entry.change),
            (1, (number, _), None) => format!("#{number}, {took}"),
            (runs, (0, 0), _) => format!("{runs} runs for the baseline, {took}"),
            (runs, (first, last), _) if first == last => format!("{runs} runs for #{first}, {took}"),
            (runs, (first, last), _) => format!("{runs} runs for #{first} to #{last}, {took}"),
        }
    }
}

fn ink(ending: Option<Ending>) -> Ink {
    match ending {
        None => Ink::Train,
        Some(Ending::Keep) => Ink::Better,
        Some(Ending::Noise) => Ink::Noise,
        Some(Ending::Discard | Ending::Screened | Ending::Same) => Ink::Discard,
        Some(Ending::Refused | Ending::Failed | Ending::HostFault) => Ink::Fault,
    }
}

fn draw(page: &Page, plan: &Plan) -> Drawing {
    let height = match plan.lanes {
        0..=2 => 14.0,
        3..=6 => 10.0,
        _ => 7.0,
    };
    let of_row = plan.lanes as f64 * (height + 2.0);
    let mut tops = Vec::new();
    let mut y = TOP;
    for row in &plan.rows {
        y += row.pause_s.map_or(0.0, |_| PAUSE_WORDS);
        tops.push(y);
        y += of_row + BETWEEN;
    }
    let runs: usize = page.clock.spans.len();
    let about = format!("Training runs: {runs}. Lanes: {}. Rows of time: {}.", plan.lanes, plan.rows.len());
    let mut drawing = Drawing::new(WIDTH, y + TICKS + LEGEND, "When runs ran".into(), about);
    for (row, top) in plan.rows.iter().zip(&tops) {
        if let Some(pause_s) = row.pause_s {
            let words = format!("no run for {}", duration(pause_s));
            drawing.text(Ink::Words, (LEFT, top - 6.0), Anchor::Start, words);
        }
        let shown_s = if plan.step_s < 600.0 { row.begin_s.round() } else { (row.begin_s / 60.0).round() * 60.0 };
        drawing.text(Ink::Words, (LEFT - 8.0, top + 11.0), Anchor::End, time_tick(shown_s));
        drawing.path(Ink::Grid, format!("M{}H{RIGHT:.1}", point(LEFT, top + of_row + 3.0)));
    }
    let every_s = time_step(plan.step_s / 6.0);
    let mut at_s = 0.0;
    while at_s <= plan.step_s {
        let x = LEFT + (RIGHT - LEFT) * at_s / plan.step_s;
        let words = if at_s == 0.0 { "+0".into() } else { format!("+{}", time_tick(at_s)) };
        let anchor = if x > RIGHT - 30.0 { Anchor::End } else { Anchor::Middle };
        drawing.path(Ink::Base, format!("M{}v5", point(x, y - BETWEEN + 3.0)));
        drawing.text(Ink::Words, (x, y + 15.0), anchor, words);
        at_s += every_s;
    }
    let entries: BTreeMap<u64, &Entry> = page.entries.iter().map(|entry| (entry.number, entry)).collect();
    for bar in &plan.bars {
        let Some(top) = tops.get(bar.row) else { continue };
        let top = top + bar.lane as f64 * (height + 2.0);
        // Half a unit between neighbours.
        let right = (bar.right - 0.5).max(bar.left + 1.0);
        let shape = Shape::Path(format!("M{}H{right:.1}v{height}H{:.1}z", point(bar.left, top), bar.left));
        drawing.marks.push(Mark { shape, ink: bar.ink, trial: Some(bar.opens), tip: bar.tip(&entries) });
    }
    legend(&mut drawing, y + TICKS + 14.0);
    drawing
}

fn legend(drawing: &mut Drawing, y: f64) {
    let mut x = LEFT;
    for (ink, words) in [
        (Ink::Better, "kept"),
        (Ink::Noise, "no gain proven"),
        (Ink::Discard, "worse"),
        (Ink::Fault, "failed"),
        (Ink::Train, "what trials are compared with"),
    ] {
        drawing.path(ink, format!("M{}h14v10h-14z", point(x, y - 9.0)));
        drawing.text(Ink::Words, (x + 20.0, y), Anchor::Start, words);
        x += 42.0 + words.chars().count() as f64 * CHAR;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(trial: u64, begin_s: f64, end_s: f64) -> Span {
        Span { trial, ending: Some(Ending::Noise), begin_s, end_s }
    }

    fn plan(spans: &[Span]) -> Plan {
        Plan::of(spans).unwrap()
    }

    #[test]
    fn what_ran_at_the_same_time_has_lanes_of_its_own() {
        let plan = plan(&[span(1, 0.0, 10.0), span(2, 5.0, 15.0), span(3, 10.0, 20.0)]);
        let lanes: Vec<(u64, usize)> = plan.bars.iter().map(|bar| (bar.opens, bar.lane)).collect();
        assert_eq!((plan.lanes, plan.rows.len(), lanes), (2, 1, vec![(1, 0), (3, 0), (2, 1)]));
        assert_eq!(Plan::of(&[]), None);
    }

    #[test]
    fn a_long_pause_is_left_out_and_named() {
        let hour = 3600.0;
        let first = (0..30).map(|i| span(i + 1, f64::from(i as u32) * 20.0, f64::from(i as u32) * 20.0 + 19.0));
        let later = (0..30).map(|i| span(i + 31, 10.0 * hour + f64::from(i as u32) * 20.0, 10.0 * hour + 610.0));
        let spans: Vec<Span> = first.chain(later.take(1)).collect();
        let plan = plan(&spans);
        let pauses: Vec<Option<f64>> = plan.rows.iter().map(|row| row.pause_s).collect();
        assert_eq!((pauses, plan.step_s), (vec![None, Some(10.0 * hour - 599.0)], 1200.0));
        assert_eq!(plan.bars.iter().filter(|bar| bar.row == 1).count(), 1);
    }

    #[test]
    fn long_nights_have_rows_and_ten_thousand_runs_few_bars() {
        let mut spans: Vec<Span> =
            (0..10_000).map(|i| span(i + 1, f64::from(i as u32) * 3.0, f64::from(i as u32) * 3.0 + 2.9)).collect();
        spans[7_000].ending = Some(Ending::Keep);
        let plan = plan(&spans);
        assert!(plan.rows.len() > 6 && plan.bars.len() <= MOST_BARS, "{} {}", plan.rows.len(), plan.bars.len());
        let kept: Vec<u64> = plan.bars.iter().filter(|bar| bar.ink == Ink::Better).map(|bar| bar.opens).collect();
        assert_eq!(kept, [7_001], "a keep is not hidden by others");
    }

    #[test]
    fn odd_times_are_drawn() {
        let crowd = (1..=20).map(|trial| span(trial, 0.0, 9e15));
        let all: Vec<Span> = crowd.chain([span(30, 0.0, 0.0), span(31, 8e15, 8e15)]).collect();
        let plan = plan(&all);
        assert_eq!((plan.lanes, plan.dropped), (MOST_LANES, 5));
        assert!(plan.bars.iter().all(|bar| bar.left.is_finite() && bar.right.is_finite()));
    }

    proptest! {
        #[test]
        fn every_run_is_in_a_bar_and_no_bar_covers_another(
            times in proptest::collection::vec((0.0f64..1e6, 0.0f64..5e3), 1..80),
        ) {
            let spans: Vec<Span> =
                times.iter().enumerate().map(|(i, (begin, took))| span(i as u64, *begin, begin + took)).collect();
            let plan = plan(&spans);
            prop_assert!(plan.rows.len() <= MOST_ROWS && plan.bars.len() <= MOST_BARS);
            let shown: usize = plan.bars.iter().map(|bar| bar.runs).sum();
            prop_assert!(shown + plan.dropped >= spans.len());
            for pair in plan.bars.windows(2) {
                let together = (pair[0].row, pair[0].lane) == (pair[1].row, pair[1].lane);
                prop_assert!(!together || pair[0].right <= pair[1].left + 1e-6, "{pair:?}");
            }
            prop_assert!(plan.bars.iter().all(|bar| LEFT <= bar.left && bar.left <= bar.right && bar.right <= RIGHT));
            prop_assert!(plan.rows.windows(2).all(|rows| rows[0].begin_s + plan.step_s <= rows[1].begin_s + 1e-6));
        }
    }
}
