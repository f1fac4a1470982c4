//! Maps what a night measured to positions in a drawing, and chooses the lines and ticks of its axes. Pure.

use crate::night::report::picture::{Dot, Picture};

/// Wanted number of horizontal grid lines.
const GRID: f64 = 5.0;
/// Most ticks of the other axis.
const TICKS: f64 = 9.0;
/// Distance from the lowest level to the base line, which holds the marks of trials without a level.
const TO_BASE: f64 = 20.0;
/// Steps of the time axis, in seconds.
const STEPS: [f64; 14] =
    [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0];

/// What the horizontal axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Trial,
    Time,
    Runs,
    Cost,
}

impl Axis {
    pub const ALL: [Self; 4] = [Self::Trial, Self::Time, Self::Runs, Self::Cost];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Time => "time",
            Self::Runs => "runs",
            Self::Cost => "cost",
        }
    }

    /// The words at the axis.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Trial => "trials",
            Self::Time => "time, without pauses",
            Self::Runs => "training runs",
            Self::Cost => "dollars spent on proposals",
        }
    }

    /// Whether these nights have something to count.
    pub fn is_of(self, nights: &[Picture]) -> bool {
        self != Self::Cost || nights.iter().any(|night| night.micro_dollars > 0)
    }

    /// Where a trial stands.
    pub fn value(self, dot: &Dot) -> f64 {
        match self {
            Self::Trial => dot.number as f64,
            Self::Time => dot.at_s,
            Self::Runs => dot.runs as f64,
            Self::Cost => dot.micro_dollars as f64 / 1e6,
        }
    }

    /// The value at which a night's axis begins, and the one at which it ends.
    fn range(self, night: &Picture) -> (f64, f64) {
        match self {
            Self::Trial => {
                let numbers = || night.trials.iter().map(|dot| dot.number as f64);
                let first = numbers().next().unwrap_or(1.0);
                (first - 1.0, numbers().fold(first, f64::max))
            }
            Self::Time => (0.0, if night.seconds > 0.0 { night.seconds } else { 60.0 }),
            Self::Runs => (0.0, night.runs.max(1) as f64),
            Self::Cost => (0.0, (night.micro_dollars as f64 / 1e6).max(1e-4)),
        }
    }
}

/// The edges of a drawing and of the plot in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub frame: Frame,
    pub axis: Axis,
    pub first: f64,
    pub last: f64,
    pub low: f64,
    pub high: f64,
}

impl Scale {
    /// Covers all levels near the start and the best level. Much worse levels lie at the upper edge.
    pub fn of(nights: &[Picture], axis: Axis, frame: Frame) -> Self {
        let levels = || nights.iter().flat_map(|night| &night.trials).filter_map(|dot| dot.level);
        let starts = || nights.iter().filter_map(|night| night.start);
        let start = starts().reduce(f64::max).or_else(|| levels().next()).unwrap_or(1.0);
        let noises = nights.iter().filter_map(|night| night.baseline).map(|level| level.noise);
        let noise = noises.fold(0.0, f64::max);
        let lowest = levels().chain(starts()).fold(start - 3.0 * noise, f64::min);
        let reach = (start - lowest).max(4.0 * noise).max(start.abs() * 1e-3);
        let highest = levels().fold(start + 3.0 * noise, f64::max).min(start + reach);
        let pad = ((highest - lowest) * 0.08).max(start.abs() * 1e-4).max(1e-9);
        let ranges = || nights.iter().map(|night| axis.range(night));
        let first = ranges().map(|(first, _)| first).reduce(f64::min).unwrap_or(0.0);
        let last = ranges().map(|(_, last)| last).fold(first, f64::max);
        let last = first + (last - first).max(1e-9) * 1.02;
        Self { frame, axis, first, last, low: lowest - pad, high: highest + pad }
    }

    pub fn x(&self, value: f64) -> f64 {
        let share = ((value - self.first) / (self.last - self.first)).clamp(0.0, 1.0);
        self.frame.left + (self.frame.right - self.frame.left) * share
    }

    pub fn y(&self, level: f64) -> f64 {
        let share = ((self.high - level) / (self.high - self.low)).clamp(0.0, 1.0);
        self.frame.top + (self.frame.bottom - self.frame.top) * share
    }

    /// Vertical position of the base line.
    pub fn base(&self) -> f64 {
        self.frame.bottom + TO_BASE
    }

    /// The levels that have a grid line, and their words.
    pub fn levels(&self) -> Vec<(f64, String)> {
        let step = round_step((self.high - self.low) / GRID);
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|i| i as f64 * step).map(|level| (level, format!("{level:.decimals$}"))).collect()
    }

    /// The values that have a tick, and their words.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let least = (self.last - self.first) / TICKS;
        let step = match self.axis {
            Axis::Time => time_step(least),
            Axis::Trial | Axis::Runs => round_step(least).max(1.0),
            Axis::Cost => round_step(least),
        };
        let (first, last) = ((self.first / step).ceil() as i64, (self.last / step).floor() as i64);
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let words = |value: f64| match self.axis {
            Axis::Time => time_tick(value),
            Axis::Trial | Axis::Runs => format!("{value:.0}"),
            Axis::Cost => format!("${value:.decimals$}"),
        };
        (first..=last).map(|i| i as f64 * step).map(|value| (value, words(value))).collect()
    }
}

/// The smallest number that is at least `least` and is 1, 2 or 5 times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// The smallest round time that is at least `least`, in seconds.
pub fn time_step(least: f64) -> f64 {
    let longest = STEPS[STEPS.len() - 1];
    STEPS.into_iter().find(|step| *step >= least).unwrap_or_else(|| (least / longest).ceil() * longest)
}

/// A time at an axis: `1:30 h`.
pub fn time_tick(seconds: f64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!([0.013, 0.02, 0.3].map(round_step), [0.02, 0.02, 0.5]);
        assert_eq!([0.0, 30.0, 90.0, 600.0, 5400.0].map(time_tick), ["0", "30 s", "1:30 min", "10 min", "1:30 h"]);
    }
}
