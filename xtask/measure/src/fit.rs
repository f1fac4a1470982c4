//! Fits a profile to this machine: first each class of op to single ops timed alone, then all classes together to whole
//! training steps, in which operations share caches and passes.

use crate::budget::{self, Row};
use crate::guests::profile;
use crate::machine;
use anyhow::{Context, Result};
use kernels::calibrate::{self, Timing};
use kernels::cost::{Class, Prices, Profile, Rate};
use kernels::cpu::CpuExecutor;
use std::fmt::Write;
use std::path::Path;

/// How dearly a departure from the start is paid where the timings decide nothing: by squared logarithm.
const INERTIA: f64 = 1e-3;
/// The same for the correction by whole steps.
const STEP_INERTIA: f64 = 1e-2;

/// Writes a profile named `name`, fitted from `from`.
pub fn fit(from: &str, name: &str, rounds: usize, file: &Path) -> Result<()> {
    let threads = crate::guests::threads() as usize;
    let timings = calibrate::measure(&mut CpuExecutor::new(threads, 0)?)?;
    let start = Profile { name: name.to_owned(), ..profile(from)? };
    let alone = fit_classes(&start, &timings);
    let rows = budget::rows(&alone, rounds, "")?;
    let fitted = correct(&alone, &rows);
    let before: Vec<f64> = rows.iter().map(|row| row.predicted_ms / row.measured_ms).collect();
    println!("| guest | measured, ms per step | by single ops | by whole steps too |\n|---|---|---|---|");
    let factors = class_factors(&alone, &fitted);
    for (row, before) in rows.iter().zip(before) {
        let after = row.predicted(&factors) / row.measured_ms;
        println!("| {} | {:.2} | {before:.2} | {after:.2} |", row.name, row.measured_ms);
    }
    std::fs::write(file, text(&fitted)).with_context(|| format!("writing {}", file.display()))
}

/// Each class by its own timings; a product's two rates together.
fn fit_classes(start: &Profile, timings: &[Timing]) -> Profile {
    let mut fitted = start.clone();
    for class in Class::ALL.into_iter().filter(|class| *class != Class::ProductSmall) {
        let own: Vec<&Timing> = timings.iter().filter(|timing| timing.cost.class == class).collect();
        if own.is_empty() {
            continue;
        }
        let with = |at: &[f64]| moved(&fitted, class, at);
        let error = |at: &[f64]| {
            let prices = Prices::new(&with(at));
            let off = |timing: &&Timing| (prices.price(&timing.cost) as f64 / 1e12 / timing.seconds).ln().powi(2);
            own.iter().map(off).sum::<f64>() + INERTIA * at.iter().map(|x| x * x).sum::<f64>()
        };
        let dimensions = if class == Class::Product { 4 } else { 3 };
        fitted = with(&descend(vec![0.0; dimensions], error));
    }
    fitted
}

/// The profile with the class's megaflops, bandwidth and overhead (and a small product's megaflops) times e to each.
fn moved(profile: &Profile, class: Class, by: &[f64]) -> Profile {
    let mut moved = profile.clone();
    let small = Class::ProductSmall.name();
    for rate in &mut moved.classes {
        if rate.class == class.name() {
            scale(&mut rate.mflops, by[0]);
            scale(&mut rate.bytes_per_us, by[1]);
            scale(&mut rate.overhead_ps, by[2]);
        } else if class == Class::Product && rate.class == small {
            scale(&mut rate.mflops, by[3]);
        }
    }
    moved
}

fn scale(number: &mut u64, by: f64) {
    *number = ((*number as f64 * by.exp()).round() as u64).max(1);
}

/// All classes by whole steps: each gets one factor on its prices.
fn correct(profile: &Profile, rows: &[Row]) -> Profile {
    let error = |at: &[f64]| {
        let factors: Vec<f64> = at.iter().map(|x| x.exp()).collect();
        let off = |row: &Row| (row.predicted(&factors) / row.measured_ms).ln().powi(2);
        rows.iter().map(off).sum::<f64>() + STEP_INERTIA * at.iter().map(|x| x * x).sum::<f64>()
    };
    let found = descend(vec![0.0; Class::ALL.len()], error);
    let mut corrected = profile.clone();
    for rate in &mut corrected.classes {
        // A small product is priced as a product.
        let name = if rate.class == Class::ProductSmall.name() { Class::Product.name() } else { &rate.class };
        if let Some(at) = Class::ALL.iter().position(|class| class.name() == name) {
            scale(&mut rate.mflops, -found[at]);
            scale(&mut rate.bytes_per_us, -found[at]);
            scale(&mut rate.overhead_ps, found[at]);
        }
    }
    corrected
}

/// What a class's prices in `new` are as a multiple of those in `old`.
fn class_factors(old: &Profile, new: &Profile) -> Vec<f64> {
    let overhead = |profile: &Profile, class: Class| {
        let rate = profile.classes.iter().find(|rate| rate.class == class.name());
        rate.map_or(1.0, |rate| rate.overhead_ps as f64)
    };
    Class::ALL.map(|class| overhead(new, class) / overhead(old, class)).to_vec()
}

/// A local minimum of `error` by steps along the axes that shrink (Hooke and Jeeves, 1961).
fn descend(mut at: Vec<f64>, error: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let (mut best, mut step) = (error(&at), 0.5);
    while step > 1e-3 {
        let mut better = false;
        for axis in 0..at.len() {
            for by in [step, -step] {
                let mut next = at.clone();
                next[axis] += by;
                let found = error(&next);
                if found < best {
                    (at, best, better) = (next, found, true);
                }
            }
        }
        if !better {
            step /= 2.0;
        }
    }
    at
}

/// The profile's file.
fn text(profile: &Profile) -> String {
    let mut text = format!(
        "# Fitted by `cargo measure fit` on {}, {} threads.\n\
         # mflops: megaflops per second; bytes_per_us: bytes per microsecond; overhead_ps: picoseconds per op.\n\
         name = \"{}\"\n",
        machine::describe(),
        crate::guests::threads(),
        profile.name
    );
    for Rate { class, mflops, bytes_per_us, overhead_ps } in &profile.classes {
        let _ = write!(
            text,
            "\n[[classes]]\nclass = \"{class}\"\nmflops = {mflops}\nbytes_per_us = {bytes_per_us}\noverhead_ps = {overhead_ps}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::cost::Cost;

    #[test]
    fn a_fit_finds_the_rates_that_made_the_timings() {
        let truth = profile("zen-2c").unwrap();
        let prices = Prices::new(&truth);
        let timings: Vec<Timing> = (0..12)
            .map(|i| {
                let (work, bytes) = if i % 2 == 0 { (1000u64 << i, 10) } else { (10, 1000u64 << i) };
                let cost = Cost { class: Class::Norm, flops: work, work, bytes };
                Timing { case: String::new(), cost, seconds: prices.price(&cost) as f64 / 1e12 }
            })
            .collect();
        let start = moved(&truth, Class::Norm, &[0.9, -0.7, 0.8]);
        let fitted = Prices::new(&fit_classes(&start, &timings));
        for timing in &timings {
            let off = fitted.price(&timing.cost) as f64 / 1e12 / timing.seconds;
            assert!((off - 1.0).abs() < 0.02, "{off} at {:?}", timing.cost);
        }
    }
}
